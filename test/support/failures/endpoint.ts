// Failures of endpoints, and of queue pairs that are connected through one.
import { type ConnectionRequest, Device, Endpoint, type ErrorDetail } from '../../../lib';
import { REMOTE } from '../queue-pairs';
import { open } from '../scene';
import { connectEnds, wireEnd, type WireEnd } from '../wire-ends';
import { failure, type Failure } from './failure';

type Detail = Omit<ErrorDetail, 'cause'>;
type Cause = ErrorDetail['cause'];
const at = { address: '127.0.0.1', port: 0 };

const opening = (code: Failure['code'], cause: Cause, detail: Detail, prepare: Failure['prepare']): Failure =>
  failure('new Endpoint', 'open_endpoint', code, cause, detail, prepare);

const describing = (
  code: Failure['code'],
  cause: Cause,
  call: (end: WireEnd) => unknown,
  detail: Detail = {},
): Failure =>
  failure('Endpoint.describe', 'query_qp', code, cause, detail, () => {
    const end = wireEnd();
    return () => call(end);
  });

const connecting = (
  code: Failure['code'],
  cause: Cause,
  detail: Detail,
  options: (end: WireEnd) => object,
): Failure =>
  failure('QueuePair.connect', 'modify_qp', code, cause, detail, () => {
    const end = wireEnd();
    const given = {
      endpoint: end.endpoint,
      address: '127.0.0.1',
      qpn: 2,
      psn: 3,
      access: REMOTE,
      ...options(end),
    };
    return () => {
      end.qp.connect(given);
    };
  });

const elsewhere = () => {
  const device = open();
  return device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(1) });
};

/** Failures of `Endpoint.connect`; `call` gets an end, and a function that connects its queue pair with what it is given. */
const asking = (
  code: Failure['code'],
  cause: Cause,
  detail: Detail,
  prepare: (
    end: WireEnd,
  ) => { address?: string; options?: object } | Promise<{ address?: string; options?: object }>,
): Failure =>
  failure('Endpoint.connect', 'connect', code, cause, detail, () => async () => {
    const end = wireEnd();
    const { address = '127.0.0.1', options } = await prepare(end);
    const { port } = end.endpoint;
    await end.endpoint.connect(address, SERVICE, { port, qp: end.qp, access: REMOTE, ...options });
  });

const SERVICE = 4000;

/** Failures of the answer to a request; `answer` gets the request and the end that was asked. */
const answering = (
  method: 'accept' | 'reject',
  code: Failure['code'],
  cause: Cause,
  detail: Detail,
  answer: (request: ConnectionRequest, end: WireEnd, other: WireEnd) => unknown,
): Failure =>
  failure(`ConnectionRequest.${method}`, method, code, cause, detail, () => async () => {
    const [end, other] = [wireEnd(), wireEnd()];
    const asked = new Promise<ConnectionRequest>((resolve) => end.endpoint.listen(SERVICE, resolve));
    const { port } = end.endpoint;
    other.endpoint.connect('127.0.0.1', SERVICE, { port, qp: other.qp, access: 0 }).catch(() => {});
    await answer(await asked, end, other);
  });

const closed = async ({ endpoint }: WireEnd): Promise<void> => {
  await new Promise<void>((resolve) => {
    endpoint.on('close', resolve);
    endpoint.close();
  });
};

const connections: Failure[] = [
  failure('Endpoint.listen', 'listen', 'EADDRINUSE', 'ServiceInUse', { argument: 'service' }, () => {
    const { endpoint } = wireEnd();
    endpoint.listen(SERVICE, () => {});
    return () => endpoint.listen(SERVICE, () => {});
  }),
  failure('Endpoint.listen', 'listen', 'EMFILE', 'TooManyConnections', { limit: 64 }, () => {
    const { endpoint } = wireEnd();
    for (let i = 1; i <= 64; i++) endpoint.listen(i, () => {});
    return () => endpoint.listen(SERVICE, () => {});
  }),
  failure('Endpoint.listen', 'listen', 'EBADF', 'EndpointClosed', {}, () => {
    const { endpoint } = wireEnd();
    endpoint.close();
    return () => endpoint.listen(SERVICE, () => {});
  }),
  asking('EINVAL', 'HostAddress', { argument: 'address' }, () => ({ address: 'localhost' })),
  asking('EINVAL', 'AddressFamily', { argument: 'address' }, () => ({ address: '::1' })),
  asking('EINVAL', 'PrivateData', { argument: 'options.privateData', value: 57, limit: 56 }, () => ({
    options: { privateData: Buffer.alloc(57) },
  })),
  asking('EINVAL', 'QpMove', { argument: 'options.qp', value: 'RTR', limit: 'RTS' }, (end) => {
    connectEnds(end, wireEnd());
    return {};
  }),
  asking('EINVAL', 'QpOnOtherDevice', { argument: 'options.qp' }, () => ({ options: { qp: elsewhere() } })),
  asking('EINVAL', 'QpHasNoQueues', {}, ({ pd }) => ({ options: { qp: pd.createQp() } })),
  asking('EOPNOTSUPP', 'QpType', { value: 'UC' }, ({ pd, cq }) => ({
    options: { qp: pd.createQp({ type: 'UC', sendCq: cq }) },
  })),
  asking('EBADF', 'QpGone', {}, ({ qp }) => {
    qp.destroy();
    return {};
  }),
  asking('EBADF', 'EndpointClosed', {}, ({ endpoint }) => {
    endpoint.close();
    return {};
  }),
  asking('EBUSY', 'QpConnected', { argument: 'options.qp' }, ({ endpoint, qp }) => {
    endpoint.connect('127.0.0.1', SERVICE, { port: endpoint.port, qp, access: 0 }).catch(() => {});
    return {};
  }),
  asking('ECONNREFUSED', 'ConnectionRejected', { value: 8 }, ({ endpoint }) => {
    endpoint.listen(SERVICE + 1, () => {});
    return {};
  }),
  asking('ETIMEDOUT', 'ConnectionTimeout', {}, () => {
    const nobody = wireEnd();
    return { options: { port: nobody.endpoint.port, attempts: 1, attemptMs: 1 } };
  }),
  answering('accept', 'EBADF', 'ConnectionGone', {}, async (request, end) => {
    await closed(end);
    const qp = end.pd.createQp({ type: 'RC', sendCq: end.cq });
    await request.accept({ qp, access: 0 });
  }),
  answering('accept', 'EINVAL', 'ConnectionState', {}, async (request, end) => {
    request.reject();
    await request.accept({ qp: end.qp, access: 0 });
  }),
  answering(
    'accept',
    'EINVAL',
    'PrivateData',
    { argument: 'options.privateData', value: 197, limit: 196 },
    (request, end) => request.accept({ qp: end.qp, access: 0, privateData: Buffer.alloc(197) }),
  ),
  answering('reject', 'EBADF', 'ConnectionGone', {}, async (request, end) => {
    await closed(end);
    request.reject();
  }),
  answering('reject', 'EINVAL', 'ConnectionState', {}, (request) => {
    request.reject();
    request.reject();
  }),
  answering(
    'reject',
    'EINVAL',
    'PrivateData',
    { argument: 'privateData', value: 149, limit: 148 },
    (request) => {
      request.reject(Buffer.alloc(149));
    },
  ),
];

const onLinux: Failure[] = [
  ...connections,
  opening('EINVAL', 'HostAddress', { argument: 'options.address' }, () => {
    const device = open();
    return () => new Endpoint({ device, ...at, address: '0.0.0.0' });
  }),
  opening('EINVAL', 'KeysForeseen', { argument: 'options.device' }, () => {
    const device = open({ keyPolicy: 'sequential' });
    return () => new Endpoint({ device, ...at });
  }),
  opening('EADDRINUSE', 'Socket', { value: 98 }, () => {
    const device = open();
    const { port } = new Endpoint({ device, ...at });
    return () => new Endpoint({ device, ...at, port });
  }),
  opening('EBADF', 'DeviceClosed', {}, () => {
    const device = open();
    device.close();
    return () => new Endpoint({ device, ...at });
  }),
  opening('EBADF', 'Detached', {}, () => {
    const device = Device.attach(open().share());
    device.detach();
    return () => new Endpoint({ device, ...at });
  }),
  opening('EPERM', 'Restricted', {}, () => {
    const owner = open();
    const device = Device.attach(owner.share({ pd: owner.allocPd() }));
    return () => new Endpoint({ device, ...at });
  }),
  describing('EBADF', 'EndpointClosed', ({ endpoint, qp }) => {
    endpoint.close();
    endpoint.describe(qp);
  }),
  describing('EBADF', 'QpGone', ({ endpoint, qp }) => {
    qp.destroy();
    endpoint.describe(qp);
  }),
  describing('EINVAL', 'QpHasNoQueues', ({ endpoint, pd }) => endpoint.describe(pd.createQp() as never)),
  describing('EINVAL', 'QpOnOtherDevice', ({ endpoint }) => endpoint.describe(elsewhere()), {
    argument: 'qp',
  }),
  connecting('EINVAL', 'HostAddress', { argument: 'options.address' }, () => ({ address: 'localhost' })),
  connecting('EINVAL', 'AddressFamily', { argument: 'options.address' }, () => ({ address: '::1' })),
  connecting('EINVAL', 'QpOnOtherDevice', { argument: 'options.endpoint' }, () => ({
    endpoint: wireEnd().endpoint,
  })),
  connecting('EBADF', 'EndpointClosed', {}, ({ endpoint }) => {
    endpoint.close();
    return {};
  }),
  failure('QueuePair.connect', 'modify_qp', 'EOPNOTSUPP', 'QpType', { value: 'UD' }, () => {
    const { endpoint, pd, cq } = wireEnd();
    const qp = pd.createQp({ type: 'UD', sendCq: cq }) as never as WireEnd['qp'];
    return () => {
      qp.connect({ endpoint, address: '127.0.0.1', qpn: 2, psn: 3, access: REMOTE });
    };
  }),
  {
    ...failure(
      ...(['QueuePair.postSend', 'post_send', 'EINVAL', 'WrAhUnreachable'] as const),
      { argument: 'wrs[0].ah', index: 0 },
      () => {
        const { endpoint, pd, cq } = wireEnd();
        const qp = pd.createQp({ type: 'UD', sendCq: cq });
        qp.activate({ endpoint, qkey: 1 });
        const ah = pd.createAh();
        return () => {
          qp.postSend({ opcode: 'SEND', ah, remoteQpn: 2, remoteQkey: 1 });
        };
      },
    ),
    posted: 0,
  },
  failure(
    ...(['ProtectionDomain.createAh', 'create_ah', 'EINVAL', 'HostAddress'] as const),
    { argument: 'options.address' },
    () => {
      const { pd } = wireEnd();
      return () => pd.createAh({ address: 'localhost' });
    },
  ),
  connecting('EBADF', 'QpGone', {}, ({ qp }) => {
    qp.destroy();
    return {};
  }),
  failure('QueuePair.connect', 'modify_qp', 'EINVAL', 'QpHasNoQueues', {}, () => {
    const { endpoint, pd } = wireEnd();
    const qp = pd.createQp() as never as WireEnd['qp'];
    return () => {
      qp.connect({ endpoint, address: '127.0.0.1', qpn: 2, psn: 3, access: REMOTE });
    };
  }),
  failure('QueuePair.connect', 'modify_qp', 'EINVAL', 'QpNumberForeseen', {}, () => {
    const device = open({ keyPolicy: 'sequential' });
    const qp = device.allocPd().createQp({ type: 'RC', sendCq: device.createCq(1) });
    const endpoint = new Endpoint({ device, ...at, allowForeseeableKeys: true });
    return () => {
      qp.connect({ endpoint, address: '127.0.0.1', qpn: 2, psn: 3, access: REMOTE });
    };
  }),
  failure(
    'QueuePair.connect',
    'modify_qp',
    'EACCES',
    'TooManyRefusals',
    { value: 1, limit: 1 },
    () => async () => {
      const [a, b] = [wireEnd(), wireEnd({ refusalsPerMinute: 1 })];
      connectEnds(a, b);
      const bytes = a.pd.regUserMr(Buffer.alloc(8), { access: 1 });
      const sge = { addr: bytes.start, length: 8, lkey: bytes.lkey };
      await a.qp.write(sge, { vaddr: 0n, rkey: bytes.rkey }).catch(() => {});
      b.qp.modify({ state: 'RESET' });
      b.qp.connect({ endpoint: b.endpoint, ...a.here, access: REMOTE });
    },
  ),
];

const elsewhereThanLinux: Failure[] = [
  opening('EOPNOTSUPP', 'NoSockets', {}, () => {
    const device = open();
    return () => new Endpoint({ device, ...at });
  }),
];

export const endpointFailures: Failure[] = process.platform === 'linux' ? onLinux : elsewhereThanLinux;
