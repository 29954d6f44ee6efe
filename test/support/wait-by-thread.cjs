// Lets the endpoints of this environment wait for packets in a thread of their own, as they do where the host has no libuv.
// For programs in other processes and workers: `require` it before the package opens an endpoint.
'use strict';

const { native, numbersOf } = require('./native.cjs');

const { ByThread } = numbersOf('EndpointFlag');
const open = native.createEndpoint;

native.createEndpoint = (device, address, port, refusals, flags) =>
  open(device, address, port, refusals, flags | ByThread);
