// Objects with options: only own properties count, so that a polluted prototype grants no rights, and misspelled names are
// rejected.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Device, Endpoint, explainCapture, type FaultName, RegistrationCache, SgeState } from '../../lib';
import { readOptions } from '../../lib/inspect/inspector';
import { argumentError, wrongType } from '../support/answers';
import { everything as everyClass } from '../support/everything';
import { runProgram } from '../support/programs';
import { hasEndpoints } from '../support/members';
import { told } from '../support/reach';
import { DMA } from '../support/scene';

interface Taker {
  /** Names of the option interfaces that the call takes. */
  type: string;
  name: string;
  /** Every option that the call takes, with a valid value. */
  all: Record<string, unknown>;
  call: (objects: Everything, options: any) => unknown;
  /** Whether the options argument is required. */
  required?: boolean;
  /** Name of the options in messages. Default: `options`. */
  path?: string;
}

const bytes = Buffer.alloc(8);

/** Creates one object of each class, and the objects of the verbs. Values have the type `any`, as in JavaScript. */
function everything(): any {
  const objects = everyClass();
  const { device, pd } = objects;
  const cq = device.createCq(16);
  const [a, b] = [pd.createQp({ type: 'RC', sendCq: cq }), pd.createQp({ type: 'RC', sendCq: cq })];
  const ud = pd.createQp({ type: 'UD', sendCq: cq });
  const cache = new RegistrationCache(pd);
  const use = cache.get(Buffer.alloc(8), 4);
  return { ...objects, cq, srq: pd.createSrq({ maxWr: 4 }), a, b, ud, cache, use };
}
type Everything = ReturnType<typeof everything>;
const { signal } = new AbortController();
/** Lets the promise of an operation that cannot be posted reject. */
const start = (promise: Promise<unknown>): void => void promise.catch(() => {});

/** The kinds of faults, with the options that only some of them take. */
const faultOptions: Record<FaultName, Record<string, unknown>> = {
  refuse: { reason: 'Revoked' },
  rnr: {},
  flush: {},
  overflow: {},
  slow: { usec: 1 },
  lost: { direction: 'in' },
  late: { usec: 1, direction: 'in' },
  doubled: { direction: 'in' },
  reordered: { direction: 'in' },
};
const faults = Object.keys(faultOptions) as FaultName[];

const takers: Taker[] = [
  {
    type: 'DeviceOptions',
    name: 'new Device',
    all: {
      lkeyTableBits: 4,
      keyPolicy: 'random',
      remoteKeyZero: true,
      captureStacks: true,
      reportLeaks: false,
      faults: { seed: 1 },
      strict: true,
    },
    call: (_, options) => new Device(options).close(),
  },
  {
    type: 'DeviceFaults',
    name: 'new Device, faults',
    all: { seed: 1, ...Object.fromEntries(faults.map((kind) => [kind, 0.5])) },
    call: (_, options) => new Device({ faults: options === undefined ? null : options }).close(),
    required: true,
    path: 'options.faults',
  },
  ...faults.map((kind): Taker => ({
    type: 'AnyRule',
    name: `new Device, faults, ${kind}`,
    all: { probability: 0.5, at: 1, every: 2, ...faultOptions[kind] },
    call: (_, options) => {
      // A number is allowed: it stands for a probability.
      const rule = options === undefined || typeof options === 'number' ? null : options;
      new Device({ faults: { seed: 1, [kind]: rule } }).close();
    },
    required: true,
    path: `options.faults.${kind}`,
  })),
  {
    type: 'StrictOptions',
    name: 'new Device, strict',
    all: { profile: 'mlx5', maxInlineData: 16 },
    call: (_, options) => {
      // A boolean is allowed.
      const strict = options === undefined || typeof options === 'boolean' ? null : options;
      new Device({ strict }).close();
    },
    required: true,
    path: 'options.strict',
  },
  {
    type: 'AttachOptions',
    name: 'Device.attach',
    all: { captureStacks: true, reportLeaks: false },
    call: ({ device }, options) => Device.attach(device.share(), options).detach(),
  },
  {
    type: 'ShareOptions',
    name: 'device.share',
    all: { pd: null },
    call: ({ device, pd }, options) => {
      // Each call creates a new domain, so the option gets the domain of this call.
      if (options?.pd !== undefined && Object.hasOwn(options, 'pd')) options.pd = pd;
      device.share(options);
    },
  },
  {
    type: 'AllocPdOptions',
    name: 'device.allocPd',
    all: { trusted: true },
    call: ({ device }, options) => device.allocPd(options),
  },
  {
    type: 'AllocDmOptions',
    name: 'device.allocDm',
    all: { hugePages: false },
    call: ({ device }, options) => device.allocDm(8, options),
  },
  {
    type: 'CountersOptions',
    name: 'device.counters',
    all: { own: true },
    call: ({ device }, options) => device.counters(options),
  },
  {
    type: 'CloseOptions',
    name: 'device.close',
    all: { cascade: true },
    call: ({ device }, options) => device.close(options),
  },
  {
    type: 'DetachOptions',
    name: 'device.detach',
    all: { cascade: true },
    call: ({ device }, options) => device.detach(options),
  },
  {
    type: 'DmaMapOptions',
    name: 'dma.map',
    all: { address: 0x900000n },
    call: ({ device }, options) => device.dma.map(bytes, options),
  },
  {
    type: 'RegUserMrOptions',
    name: 'pd.regUserMr',
    all: { start: 0n, iova: 4096, access: 1 },
    call: ({ pd }, options) => pd.regUserMr(bytes, options),
  },
  {
    type: 'RegistrationCacheOptions',
    name: 'new RegistrationCache',
    all: { maxRegions: 4, maxBytes: 4096 },
    call: ({ pd }, options) => new RegistrationCache(pd, options),
  },
  {
    type: 'CloseCacheOptions',
    name: 'cache.close',
    all: { force: true },
    call: ({ cache, use }, options) => {
      if (options?.force !== true) use.put();
      cache.close(options);
    },
  },
  {
    type: 'AdvertiseOptions',
    name: 'use.advertise',
    all: { offset: 1, length: 1 },
    call: ({ use }, options) => use.advertise(options),
  },
  {
    type: 'GetDmaMrOptions',
    name: 'pd.getDmaMr',
    all: { access: 0 },
    call: ({ device }, options) => device.allocPd({ trusted: true }).getDmaMr(options).dereg(),
  },
  {
    type: 'AllocMrOptions',
    name: 'pd.allocMr',
    all: { maxNumSg: 1, type: 'MEM_REG' },
    call: ({ pd }, options) => pd.allocMr(options),
    required: true,
  },
  {
    type: 'AllocFmrOptions',
    name: 'pd.allocFmr',
    all: { access: 1, maxPages: 1, maxMaps: 1, pageShift: 12 },
    call: ({ pd }, options) => pd.allocFmr(options),
    required: true,
  },
  {
    type: 'CheckBatchOptions',
    name: 'pd.lkeyBatch',
    all: { places: true, accessPerElement: true },
    call: ({ pd }, options) => pd.lkeyBatch(1, options),
  },
  {
    type: 'CheckBatchOptions',
    name: 'qp.rkeyBatch',
    all: { places: true, accessPerElement: true },
    call: ({ qp }, options) => qp.rkeyBatch(1, options),
  },
  {
    type: 'BatchAcquireOptions',
    name: 'batch.acquire',
    all: { coalesce: true, last: null },
    call: ({ pd }, options) => pd.lkeyBatch(1).acquire(1, 0, options),
  },
  {
    type: 'AcquireOptions',
    name: 'pd.acquire',
    all: { last: null },
    call: ({ pd, mr }, options) => pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0, options),
  },
  {
    type: 'DeregOptions',
    name: 'pd.deregMany',
    all: { force: true },
    call: ({ pd, mr }, options) => pd.deregMany([mr], options),
  },
  {
    type: 'DeallocPdOptions',
    name: 'pd.dealloc',
    all: { cascade: true },
    call: ({ pd }, options) => pd.dealloc(options),
  },
  {
    type: 'FastRegMrOptions',
    name: 'qp.fastRegMr',
    all: { key: 0, access: 1, iova: 0n },
    call: ({ qp, sg }, options) => {
      // The key is known only now; the rest of the object stays unchanged.
      if (typeof options?.key === 'number') options.key = sg.lkey;
      qp.fastRegMr(sg, options);
    },
    required: true,
  },
  {
    type: 'LeaseOptions',
    name: 'mr.advertise',
    all: { offset: 1, length: 2 },
    call: ({ mr }, options) => mr.advertise(options),
  },
  {
    type: 'LeaseOptions',
    name: 'mr.advertise, a lease',
    all: { expiresInMs: 0 },
    call: ({ mr }, options) => mr.advertise(options),
  },
  ...(['gather', 'scatter'] as const).map((name): Taker => ({
    type: 'BatchCopyOptions',
    name: `batch.${name}`,
    all: { all: true },
    call: ({ pd }, options) => pd.lkeyBatch(1)[name](Buffer.alloc(0), 0, 1, options),
  })),
  {
    type: 'BatchCopyOptions',
    name: 'batch.copyTo',
    all: { all: true },
    call: ({ pd }, options) => pd.lkeyBatch(1).copyTo(pd.lkeyBatch(1), 0, 0, 0, 1, options),
  },
  {
    type: 'MapSgOptions',
    name: 'mr.mapSg',
    all: { offset: 1, pageSize: 4096 },
    call: ({ sg }, options) => sg.mapSg([{ addr: DMA, length: 8 }], options),
  },
  {
    type: 'ReregOptions',
    name: 'mr.rereg',
    all: { translation: { memory: bytes, start: 0, iova: 0 }, access: 1, pd: null },
    call: ({ pd }, options) => {
      // Each call creates a new domain, so the option gets the domain of this call.
      if (options?.pd !== undefined && Object.hasOwn(options, 'pd')) options.pd = pd;
      const mr = pd.regUserMr(bytes);
      try {
        mr.rereg(options);
      } finally {
        mr.dereg();
      }
    },
    required: true,
  },
  {
    type: 'ReregTranslation',
    name: 'mr.rereg, translation',
    all: { memory: bytes, start: 0, iova: 0 },
    call: ({ pd }, options) => {
      const mr = pd.regUserMr(bytes);
      try {
        mr.rereg({ translation: options === undefined ? null : options });
      } finally {
        mr.dereg();
      }
    },
    required: true,
    path: 'options.translation',
  },
  {
    type: 'DeregOptions',
    name: 'mr.dereg',
    all: { force: true },
    call: ({ mr }, options) => mr.dereg(options),
  },
  {
    type: 'DeregOptions',
    name: 'fmr.dealloc',
    all: { force: true },
    call: ({ fmr }, options) => fmr.dealloc(options),
  },
  {
    type: 'DeregAsyncOptions',
    name: 'mr.deregAsync',
    all: { timeoutMs: 0, signal: new AbortController().signal, force: false },
    call: ({ sg }, options) => void sg.deregAsync(options),
  },
  {
    type: 'DeregAsyncOptions',
    name: 'fmr.deallocAsync',
    all: { timeoutMs: 0, signal: new AbortController().signal, force: false },
    call: ({ fmr }, options) => void fmr.deallocAsync(options),
  },
  {
    type: 'CopyToOptions',
    name: 'sge.copyTo',
    all: { offset: 0 },
    call: ({ sge }, options) => sge.copyTo(bytes, options),
  },
  {
    type: 'CopyFromOptions',
    name: 'sge.copyFrom',
    all: { offset: 0, ordered: true },
    call: ({ sge }, options) => sge.copyFrom(bytes, options),
  },
  ...(['update', 'skip'] as const).map((name): Taker => ({
    type: 'ConsumeOptions',
    name: `state.${name}`,
    all: { put: true },
    call: ({ state }, options) => state[name](8, options),
  })),
  {
    type: 'CopyInOptions',
    name: 'state.copyIn',
    all: { put: true, ordered: true },
    call: ({ sge }, options) => new SgeState([sge]).copyIn(bytes, options),
  },
  {
    type: 'ConsumeOptions',
    name: 'state.copyOut',
    all: { put: true },
    call: ({ state }, options) => state.copyOut(bytes, options),
  },
  {
    type: 'ConsumeOptions',
    name: 'state.walk',
    all: { put: true },
    call: ({ state }, options) => state.walk([8], options),
  },
  {
    type: 'RunOptions',
    name: 'device.run',
    all: { kick: [] },
    call: ({ device }, options) => device.run(options),
  },
  {
    type: 'CreateCqOptions',
    name: 'device.createCq',
    all: { compVector: 1, ring: true },
    call: ({ device }, options) => device.createCq(4, options),
  },
  {
    type: 'ArmOptions',
    name: 'cq.arm',
    all: { solicited: true },
    call: ({ cq }, options) => cq.arm(options),
  },
  {
    type: 'CreateSrqOptions',
    name: 'pd.createSrq',
    all: { maxWr: 4, maxSge: 1, limit: 0 },
    call: ({ pd }, options) => pd.createSrq(options),
    required: true,
  },
  {
    type: 'SrqAttributes',
    name: 'srq.modify',
    all: { maxWr: 4, limit: 1 },
    call: ({ srq }, options) => srq.modify(options),
    required: true,
  },
  {
    type: 'CreateAhOptions',
    name: 'pd.createAh',
    all: { dlid: 1, sl: 0, staticRate: 0, port: 1 },
    call: ({ pd }, options) => pd.createAh(options),
  },
  {
    type: 'CreateQpOptions',
    name: 'pd.createQp',
    all: {
      type: 'RC',
      sendCq: null,
      recvCq: null,
      srq: null,
      maxSendWr: 1,
      maxRecvWr: 1,
      maxSendSge: 1,
      maxRecvSge: 1,
      sqSigAll: true,
      maxPending: 1,
    },
    call: ({ pd, cq, srq }, options) => {
      // The queues of this call; the rest of the object stays unchanged.
      for (const [name, queue] of Object.entries({ sendCq: cq, recvCq: cq, srq }))
        if (options?.[name] !== undefined && Object.hasOwn(options, name)) options[name] = queue;
      pd.createQp(options ?? null);
    },
    required: true,
  },
  {
    type: 'QpAttributes',
    name: 'qp.modify',
    all: { state: 'INIT', pkeyIndex: 0, port: 1, access: 1 },
    call: ({ a }, options) => a.modify(options),
    required: true,
  },
  {
    type: 'ConnectOptions',
    name: 'qp.connect',
    all: {
      access: 1,
      pathMtu: 1024,
      minRnrTimer: 1,
      rnrRetry: 1,
      retryCnt: 1,
      timeout: 1,
      maxRdAtomic: 1,
    },
    call: ({ a, b }, options) => a.connect(b, options),
    required: true,
  },
  ...(hasEndpoints
    ? ([
        {
          type: 'EndpointOptions',
          name: 'new Endpoint',
          all: {
            device: null,
            address: '127.0.0.1',
            port: 0,
            refusalsPerMinute: 1,
            allowForeseeableKeys: true,
          },
          call: ({ device }, options) => {
            // The option gets the device of this call.
            if (options?.device !== undefined && Object.hasOwn(options, 'device')) options.device = device;
            new Endpoint(options).close();
          },
          required: true,
        },
        {
          type: 'ListenOptions',
          name: 'endpoint.listen',
          all: { backlog: 1 },
          call: ({ device }, options) => {
            const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
            try {
              endpoint.listen(1, () => {}, options).close();
            } finally {
              endpoint.close();
            }
          },
        },
        {
          type: 'ServiceConnectOptions',
          name: 'endpoint.connect',
          all: {
            qp: null,
            access: 1,
            privateData: Buffer.alloc(1),
            minRnrTimer: 1,
            rnrRetry: 1,
            timeout: 1,
            maxRdAtomic: 1,
            maxDestRdAtomic: 1,
            port: 1,
            pathMtu: 1024,
            retryCnt: 1,
            attempts: 1,
            attemptMs: 1,
            signal,
          },
          call: ({ device, a }, options) => {
            if (options?.qp !== undefined && Object.hasOwn(options, 'qp')) options.qp = a;
            const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
            try {
              start(endpoint.connect('127.0.0.1', 1, options));
            } finally {
              endpoint.close();
            }
          },
          required: true,
        },
        {
          type: 'WireConnectOptions',
          name: 'qp.connect, through an endpoint',
          all: {
            endpoint: null,
            address: '127.0.0.1',
            port: 4791,
            qpn: 1,
            psn: 1,
            localPsn: 1,
            access: 1,
            pathMtu: 1024,
            minRnrTimer: 1,
            rnrRetry: 1,
            retryCnt: 1,
            timeout: 1,
            maxRdAtomic: 1,
            maxDestRdAtomic: 1,
          },
          call: ({ device, a }, options) => {
            const endpoint = new Endpoint({ device, address: '127.0.0.1', port: 0 });
            if (options?.endpoint !== undefined && Object.hasOwn(options, 'endpoint'))
              options.endpoint = endpoint;
            try {
              a.connect(options);
              a.modify({ state: 'RESET' });
            } finally {
              endpoint.close();
            }
          },
          required: true,
        },
      ] satisfies Taker[])
    : []),
  {
    type: 'ActivateOptions',
    name: 'qp.activate',
    all: { qkey: 1 },
    call: ({ ud }, options) => ud.activate(options),
    required: true,
  },
  {
    type: 'WriteOptions',
    name: 'qp.write',
    all: { signal, imm: 1 },
    call: ({ a }, options) => start(a.write([], { remoteAddr: 0, rkey: 0 }, options)),
  },
  {
    type: 'OperationOptions',
    name: 'qp.read',
    all: { signal },
    call: ({ a }, options) => start(a.read([], { remoteAddr: 0, rkey: 0 }, options)),
  },
  {
    type: 'ExplainOptions',
    name: 'explainCapture',
    all: { regions: '[]', only: 'refused', key: 1, queuePair: 1 },
    call: (_, options) => void explainCapture('', options),
  },
  {
    type: 'InspectOptions',
    name: 'inspect',
    all: { port: 0, intervalMs: 100, ref: false },
    call: (_, options) => void readOptions(options),
  },
];

/** Runs a call on new objects and returns the outcome. */
function ask({ call }: Taker, options: unknown): string {
  const objects = everything();
  const answer = told(() => call(objects, options));
  objects.device.close({ cascade: true });
  return answer;
}

test('this file covers every interface of options', () => {
  const kinds = ['verbs', 'explain', 'inspect'].flatMap((room) => {
    const folder = join(__dirname, '../../lib', room);
    const files = readdirSync(folder).filter((file) => file.endsWith('.ts'));
    return files.flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/ptionsOf<(\w+)>/g)].map(([, kind]) => kind),
    );
  });
  expect(kinds.length).toBeGreaterThan(20);
  expect([...new Set(takers.map(({ type }) => type))].sort()).toEqual([...new Set(kinds)].sort());
});

describe.each(takers)('options of $name', (taker) => {
  const { all, required = false, path = 'options' } = taker;

  test('accepts every option, from objects with and without a prototype', () => {
    expect(ask(taker, all)).toBe('ok');
    expect(ask(taker, Object.assign(Object.create(null), all))).toBe('ok');
    expect(ask(taker, new Proxy(all, {}))).toBe('ok');
  });

  test('uses the default for each omitted or undefined option', () => {
    if (required) {
      expect(ask(taker, undefined)).toBe('ERR_INVALID_ARG_TYPE');
      return;
    }
    expect(ask(taker, {})).toBe(ask(taker, undefined));
    for (const name of Object.keys(all)) {
      const answer = ask(taker, { [name]: undefined });
      expect([name, answer]).toEqual([
        name,
        ['access', 'pd'].includes(name) ? 'ERR_INVALID_ARG_TYPE' : ask(taker, undefined),
      ]);
    }
  });

  test('ignores inherited options', () => {
    // The values have a wrong type, so that reading one throws.
    const inherited = Object.create(Object.fromEntries(Object.keys(all).map((name) => [name, Symbol(name)])));
    expect(ask(taker, inherited)).toBe(ask(taker, {}));
    const own = Object.assign(Object.create({ [Object.keys(all)[0]!]: Symbol() }), all);
    expect(ask(taker, own)).toBe('ok');
  });

  test('rejects an unknown name, own or inherited, and changes nothing', () => {
    const objects = everything();
    const lives = () => ({ ...objects.device.resources(), pds: undefined }); // getDmaMr creates a domain of its own
    const before = lives();
    for (const options of [
      { ...all, acess: 1 },
      Object.assign(Object.create({ acess: 1 }), all),
      Object.assign(Object.create(Object.create({ acess: undefined })), all),
      new Proxy({ ...all, acess: 1 }, {}),
    ]) {
      expect(() => taker.call(objects, options)).toThrow(
        argumentError('ERR_INVALID_ARG_VALUE', `The property '${path}.acess' is not a known option`),
      );
    }
    expect(lives()).toEqual(before);
    objects.device.close({ cascade: true });
  });

  test('ignores symbols and non-enumerable names', () => {
    const hidden = Object.defineProperty({ ...all, [Symbol('mine')]: 1 }, 'mine', { value: 1 });
    expect(ask(taker, hidden)).toBe('ok');
  });

  test('rejects anything but an object', () => {
    for (const options of [null, 1, 'text', true, 1n, Symbol(), () => 1, [], [all]]) {
      expect(ask(taker, options)).toBe('ERR_INVALID_ARG_TYPE');
    }
  });
});

test('the message lists the existing options, and shortens the given name', () => {
  const { pd, device } = everything();
  expect(() => pd.regUserMr(bytes, { acces: 31 })).toThrow(
    "The property 'options.acces' is not a known option; the options are start, iova, access",
  );
  expect(() => device.close({ casade: true })).toThrow(
    "The property 'options.casade' is not a known option; the only option is cascade",
  );
  expect(() => device.close(Object.create({ casade: true }))).toThrow(
    "The property 'options.casade' is not a known option (it is an inherited property); the only option is cascade",
  );
  const message = /.*/.exec(catchMessage(() => device.close({ ['x'.repeat(1 << 20)]: 1 })))![0];
  expect(message.length).toBeLessThan(200);
  expect(() => pd.regUserMr(bytes, { access: undefined })).toThrow(wrongType('options.access'));
});

function catchMessage(use: () => unknown): string {
  try {
    use();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}

test('a polluted Object.prototype grants no rights', () => {
  const { stdout } = runProgram(`
    const { Device } = require('rdmavt');
    for (const [name, value] of Object.entries({ access: 31, remoteKeyZero: true, trusted: true, force: true, cascade: true, last: {}, iova: 0, start: 0, put: true }))
      Object.defineProperty(Object.prototype, name, { value, enumerable: false, writable: true, configurable: true });
    const device = new Device(), pd = device.allocPd(), mr = pd.regUserMr(new Uint8Array(8)), other = pd.regUserMr(new Uint8Array(8), {});
    const { sge } = pd.acquire({ addr: mr.start, length: 8, lkey: mr.lkey }, 0);
    const told = (use) => { try { use(); return 'ok'; } catch (error) { return error.code; } };
    console.log(mr.access, other.access, mr.iova !== 0n, device.resources().pds[0].trusted, told(() => mr.dereg({})), told(() => pd.dealloc({})));
    for (const name of ['access', 'remoteKeyZero', 'trusted', 'force', 'cascade', 'last', 'iova', 'start', 'put']) delete Object.prototype[name];
    Object.prototype.access = 31;
    console.log(pd.regUserMr(new Uint8Array(8)).access, pd.regUserMr(new Uint8Array(8), {}).access, told(() => pd.dealloc({})));
  `);
  expect(stdout.trim().split('\n')).toEqual(['0 0 true false EBUSY EBUSY', '0 0 ERR_INVALID_ARG_VALUE']);
});
