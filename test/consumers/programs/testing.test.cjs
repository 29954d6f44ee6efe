// Runs in Jest: the matchers of rdmavt/testing with its `expect`, and the helpers.
'use strict';

const { Access } = require('rdmavt');
const { connectedPair, matchers, openTestDevice, takeCompletions } = require('rdmavt/testing');

expect.extend(matchers);

test('the matchers explain', () => {
  const opened = openTestDevice();
  const pd = opened.device.allocPd();
  const mr = pd.regUserMr(new Uint8Array(64), { access: Access.LocalWrite });
  const check = pd.check({ addr: mr.start, length: 65, lkey: mr.lkey }, 0);
  expect(check).toBeRefused('OutOfBounds');
  expect(() => expect(check).toBeAccepted()).toThrow(/refused: OutOfBounds\n\n.*1 byte/s);
  expect(() => opened.close({ except: [pd] })).toThrow('MemoryRegion #1: 64 bytes');
});

test('two connected queue pairs in one line', async () => {
  const pair = connectedPair();
  const { pd, a, aCq, device } = pair;
  const mr = pd.regUserMr(new Uint8Array(8), { access: Access.LocalWrite | Access.RemoteWrite });
  const sges = [{ addr: mr.start, length: 8, lkey: mr.lkey }];
  a.postSend({ opcode: 'RDMA_WRITE', sges, remoteAddr: mr.iova, rkey: mr.rkey });
  const [completion] = await takeCompletions(aCq, 1);
  expect(completion).toBeAccepted();
  mr.dereg();
  expect(device).not.toHaveNoLeaks();
  pair.close();
});
