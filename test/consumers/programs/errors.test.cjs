// Runs in Jest, whose tests have a separate realm: errors must have the classes of the test's realm.
'use strict';

const { Access, Device, RdmaError } = require('rdmavt');

/** @param {() => unknown} action */
function thrown(action) {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("throws RdmaError, TypeError and RangeError of the test's realm", () => {
  const device = new Device();
  const pd = device.allocPd();
  const bytes = new Uint8Array(64);
  const refused = thrown(() => pd.regUserMr(bytes, { access: Access.RemoteWrite }));
  expect(refused).toBeInstanceOf(RdmaError);
  expect(refused).toBeInstanceOf(Error);
  expect(refused).toMatchObject({ name: 'RdmaError', code: 'EINVAL', errno: -22, operation: 'reg_user_mr' });
  const invalid = thrown(() => pd.regUserMr('bytes', { access: 0 }));
  expect(invalid).toBeInstanceOf(TypeError);
  expect(invalid).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  const wide = thrown(() => pd.regUserMr(bytes, { access: 0, start: 1n << 64n }));
  expect(wide).toBeInstanceOf(RangeError);
  expect(wide).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  device.close({ cascade: true });
});

test("accepts memory of the test's realm", () => {
  const device = new Device();
  const pd = device.allocPd();
  for (const memory of [
    new ArrayBuffer(8),
    new SharedArrayBuffer(8),
    Buffer.alloc(8),
    new DataView(new ArrayBuffer(8)),
  ]) {
    expect(pd.regUserMr(memory, { access: 0 }).length).toBe(8);
  }
  device.close({ cascade: true });
});
