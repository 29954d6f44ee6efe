// Failures of endpoints, and of queue pairs that are connected through one.
import { Device, Endpoint, type ErrorDetail } from '../../../lib';
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

const onLinux: Failure[] = [
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
