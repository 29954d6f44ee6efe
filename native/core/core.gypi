# The body of a target that compiles the core: included by the package's own library (/binding.gyp) and by the test
# build (/test/c/tests.gypi), so that the list of files and the dialect exist once. gyp moves the paths of `sources`
# and `include_dirs` (and only of such sections) along to the including file, which is why this is not a variable.
#
# A new file of the core is added here and nowhere else.
{
  'type': 'static_library',
  'include_dirs': ['..'],
  'sources': [
    'base/alloc.c',
    'base/epoch.c',
    'base/failure.c',
    'base/memory.c',
    'base/platform.c',
    'base/pool.c',
    'base/reason.c',
    'base/serial_index.c',
    'base/sparse.c',
    'objects/device.c',
    'objects/device_memory.c',
    'objects/dma.c',
    'objects/dma_table.c',
    'objects/fast_reg.c',
    'objects/fmr.c',
    'objects/held_counts.c',
    'objects/key_report.c',
    'objects/lkey_table.c',
    'objects/mr.c',
    'objects/mr_sg.c',
    'objects/object_kind.c',
    'objects/pd.c',
    'objects/qp.c',
    'objects/region.c',
    'objects/region_end.c',
    'objects/region_map.c',
    'objects/resource.c',
    'objects/share.c',
    'objects/ucontext.c',
    'access/batch.c',
    'access/batch_acquire.c',
    'access/batch_all.c',
    'access/batch_copy.c',
    'access/batch_copy_lists.c',
    'access/batch_side.c',
    'access/check.c',
    'access/sge.c',
    'access/sge_atomic.c',
    'access/sge_copy.c',
    'engine/ah.c',
    'engine/copy.c',
    'engine/cq.c',
    'engine/datagram.c',
    'engine/engine.c',
    'engine/engine_qp.c',
    'engine/modify.c',
    'engine/post.c',
    'engine/qp_state.c',
    'engine/qp_table.c',
    'engine/recv_queue.c',
    'engine/requester.c',
    'engine/responder.c',
    'engine/srq.c',
  ],
  'direct_dependent_settings': {
    'include_dirs': ['..'],
  },
  # -Wshadow for C only: the headers of node-addon-api do not pass it.
  'cflags_c': ['-std=c11', '-Wshadow', '-Wstrict-prototypes', '-Wmissing-prototypes'],
  'xcode_settings': {
    'GCC_C_LANGUAGE_STANDARD': 'c11',
  },
  'msvs_settings': {
    'VCCLCompilerTool': {
      # <stdatomic.h> needs Visual Studio 2022 17.5 or later, and there still this switch.
      'AdditionalOptions': ['/std:c11', '/experimental:c11atomics'],
    },
  },
  'conditions': [
    ['OS=="win"', {
      'link_settings': { 'libraries': ['-lbcrypt'] },
    }],
  ],
}
