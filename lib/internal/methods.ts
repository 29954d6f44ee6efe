/**
 * Names of the methods that can fail with an errno, as error messages show them, and the kernel operation of each method. A
 * getter is named like a method.
 */

const operations = {
  'new Device': 'driver_mr_init',
  'new Device({ reportLeaks })': 'report_leaks',
  'Device.attach': 'alloc_ucontext',
  'Device.share': 'share',
  'Device.allocPd': 'alloc_pd',
  'Device.importPd': 'import_pd',
  'Device.allocDm': 'alloc_dm',
  'Device.importDm': 'import_dm',
  'Device.keyTable': 'key_table',
  'Device.keySlots': 'key_table',
  'Device.regionsOf': 'find_mr',
  'Device.resources': 'resources',
  'Device.counters': 'counters',
  'Device.query': 'query_device',
  'Device.queryPort': 'query_port',
  'Device.createCq': 'create_cq',
  'Device.run': 'run_engine',
  'Device.fireTimers': 'fire_timers',
  'Device.close': 'mr_exit',
  'Device.detach': 'dealloc_ucontext',
  'DmaSpace.map': 'dma_map',
  'DmaMapping.unmap': 'dma_unmap',
  'DeviceMemory.buffer': 'alloc_dm',
  'DeviceMemory.free': 'dealloc_dm',
  'ProtectionDomain.regUserMr': 'reg_user_mr',
  'ProtectionDomain.getDmaMr': 'get_dma_mr',
  'ProtectionDomain.allocMr': 'alloc_mr',
  'ProtectionDomain.allocFmr': 'alloc_fmr',
  'ProtectionDomain.regionOf': 'find_mr',
  'ProtectionDomain.createQp': 'create_qp',
  'ProtectionDomain.createSrq': 'create_srq',
  'ProtectionDomain.createAh': 'create_ah',
  'ProtectionDomain.acquire': 'lkey_ok',
  'ProtectionDomain.check': 'lkey_ok',
  'ProtectionDomain.lkeyBatch': 'create_batch',
  'ProtectionDomain.checker': 'checker',
  'ProtectionDomain.deregMany': 'dereg_mr',
  'ProtectionDomain.dealloc': 'dealloc_pd',
  'QueuePair.acquire': 'rkey_ok',
  'QueuePair.check': 'rkey_ok',
  'QueuePair.rkeyBatch': 'create_batch',
  'QueuePair.checker': 'checker',
  'QueuePair.fastRegMr': 'fast_reg_mr',
  'QueuePair.invalidateRkey': 'invalidate_rkey',
  'QueuePair.modify': 'modify_qp',
  'QueuePair.connect': 'modify_qp',
  'QueuePair.activate': 'modify_qp',
  'QueuePair.query': 'query_qp',
  'QueuePair.qpn': 'query_qp',
  'QueuePair.postSend': 'post_send',
  'QueuePair.postRecv': 'post_recv',
  'QueuePair.write': 'post_send',
  'QueuePair.read': 'post_send',
  'QueuePair.send': 'post_send',
  'QueuePair.recv': 'post_recv',
  'QueuePair.fetchAdd': 'post_send',
  'QueuePair.compareSwap': 'post_send',
  'QueuePair.destroy': 'destroy_qp',
  'CompletionQueue.poll': 'poll_cq',
  'CompletionQueue.arm': 'req_notify_cq',
  'CompletionQueue.disarm': 'req_notify_cq',
  'CompletionQueue.resize': 'resize_cq',
  'CompletionQueue.cqe': 'query_cq',
  'CompletionQueue.length': 'query_cq',
  'CompletionQueue.isBroken': 'query_cq',
  'CompletionQueue.destroy': 'destroy_cq',
  'CompletionRing.next': 'poll_cq',
  'CompletionRing.length': 'query_cq',
  'SharedReceiveQueue.postRecv': 'post_srq_recv',
  'SharedReceiveQueue.modify': 'modify_srq',
  'SharedReceiveQueue.query': 'query_srq',
  'SharedReceiveQueue.destroy': 'destroy_srq',
  'AddressHandle.destroy': 'destroy_ah',
  'Checker.refusal': 'checker',
  'CheckBatch.check': 'check_batch',
  'CheckBatch.checkPacked': 'check_batch',
  'CheckBatch.acquire': 'acquire_batch',
  'CheckBatch.take': 'take',
  'CheckBatch.gather': 'gather',
  'CheckBatch.scatter': 'scatter',
  'CheckBatch.copyTo': 'copy_batch',
  'MemoryRegion.mapSg': 'map_mr_sg',
  'MemoryRegion.dereg': 'dereg_mr',
  'MemoryRegion.deregAsync': 'dereg_mr',
  'MemoryRegion.countAccesses': 'count_mr',
  'MemoryRegion.advertise': 'advertise_mr',
  'FastMemoryRegion.mapPhys': 'map_phys_fmr',
  'FastMemoryRegion.unmap': 'unmap_fmr',
  'FastMemoryRegion.dealloc': 'dealloc_fmr',
  'FastMemoryRegion.deallocAsync': 'dealloc_fmr',
  'FastMemoryRegion.countAccesses': 'count_mr',
  'FastMemoryRegion.advertise': 'advertise_mr',
  'Sge.put': 'put_sge',
  'Sge.copyTo': 'copy_sge_out',
  'Sge.copyFrom': 'copy_sge',
  'Sge.fetchAdd': 'fetch_add',
  'Sge.compareSwap': 'compare_swap',
  parseAdvertisement: 'parse_advertisement',
  'new Sge': 'acquire_sge',
  'new SgeState': 'sge_state',
  'SgeState.update': 'update_sge',
  'SgeState.skip': 'skip_sge',
  'SgeState.put': 'put_ss',
  'SgeState.copyIn': 'copy_sge',
  'SgeState.copyOut': 'copy_sge_out',
  'SgeState.walk': 'walk',
} as const;

/** The region classes. Errors name their shared methods and getters by the class of the object. */
export type RegionClass = 'MemoryRegion' | 'FastMemoryRegion';

/** Region getters that can fail. */
export type RegionProperty = 'lkey' | 'rkey' | 'start' | 'iova' | 'length' | 'access' | 'refs' | 'counters';
/** Element getters, all of which can fail. */
export type SgeProperty =
  'region' | 'at' | 'segmentLength' | 'length' | 'segment' | 'access' | 'remote' | 'address';

/** Name of a method or getter, `'ProtectionDomain.regUserMr'`. */
export type Method = keyof typeof operations | `${RegionClass}.${RegionProperty}` | `Sge.${SgeProperty}`;

/** Returns the kernel operation of a method: the value of {@link RdmaError.operation}. */
export function operationOf(method: Method): string {
  return (
    (operations as Readonly<Record<string, string>>)[method] ??
    (method.startsWith('Sge.') ? 'query_sge' : 'query_mr')
  );
}
