{
  'variables': {
    # The part of the core that a check, a copy or a work request passes through, compiled for speed: programs
    # call it a million times a second.
    'fast_core': [
      'native/core/access/batch.c',
      'native/core/access/batch_acquire.c',
      'native/core/access/batch_all.c',
      'native/core/access/batch_copy.c',
      'native/core/access/batch_copy_lists.c',
      'native/core/access/batch_side.c',
      'native/core/access/check.c',
      'native/core/access/sge.c',
      'native/core/access/sge_atomic.c',
      'native/core/access/sge_copy.c',
      'native/core/base/epoch.c',
      'native/core/base/memory.c',
      'native/core/engine/copy.c',
      'native/core/engine/cq.c',
      'native/core/engine/datagram.c',
      'native/core/engine/engine.c',
      'native/core/engine/engine_qp.c',
      'native/core/engine/post.c',
      'native/core/engine/qp_table.c',
      'native/core/engine/recv_queue.c',
      'native/core/engine/requester.c',
      'native/core/engine/responder.c',
      'native/core/engine/srq.c',
      'native/core/objects/dma.c',
      'native/core/objects/dma_table.c',
      'native/core/objects/fast_reg.c',
      'native/core/objects/fmr.c',
      'native/core/objects/held_counts.c',
      'native/core/objects/lkey_table.c',
      'native/core/objects/mr.c',
      'native/core/objects/mr_sg.c',
      'native/core/objects/region.c',
      'native/core/objects/region_end.c',
      'native/core/objects/region_map.c',
    ],
    # Calls of other libraries go through a pointer at once, without a jump of the procedure linkage table between.
    'for_speed': ['-fno-plt'],
    # Every install contains eight binaries, so all other code is compiled for size.
    'for_size': ['-Os'],
  },
  'target_defaults': {
    'includes': ['native/flags.gypi'],
    'configurations': {
      'Release': {
        # No tables for unwinding, which would be an eighth of the binary: no exception passes through this code,
        # and debuggers find the frames by their pointers. (Windows needs its tables, and always gets them.)
        'cflags': ['-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
      },
    },
  },
  'targets': [
    {
      # The core: plain C11, independent of Node. The C tests, sanitizers and fuzzers compile the same list of
      # files.
      'target_name': 'rdmavt_core',
      'includes': ['native/core/core.gypi'],
      'sources!': ['<@(fast_core)'],
      'configurations': { 'Release': { 'cflags_c': ['<@(for_size)'] } },
    },
    {
      'target_name': 'rdmavt_fast_core',
      'includes': ['native/core/settings.gypi'],
      'sources': ['<@(fast_core)'],
      'cflags': ['<@(for_speed)'],
    },
    {
      # The RoCEv2 codec: plain C11, like the core.
      'target_name': 'rdmavt_wire',
      'includes': ['native/wire/wire.gypi'],
      'configurations': { 'Release': { 'cflags_c': ['<@(for_size)'] } },
    },
    {
      # The part of the binding that every check runs, compiled for speed: programs call it a million times a
      # second.
      'target_name': 'rdmavt_checks',
      'type': 'static_library',
      'includes': ['native/binding/binding.gypi'],
      'dependencies': ['rdmavt_fast_core', 'rdmavt_core'],
      'cflags': ['<@(for_speed)'],
      'sources': [
        'native/binding/batch/batch.cc',
        'native/binding/batch/block.cc',
        'native/binding/batch/held_sges.cc',
        'native/binding/commands/check_commands.cc',
        'native/binding/commands/element_commands.cc',
        'native/binding/commands/region_commands.cc',
        'native/binding/objects/cells.cc',
        'native/binding/objects/post_block.cc',
        'native/binding/objects/regions.cc',
        'native/binding/objects/wr_reader.cc',
        'native/binding/objects/wr_slots.cc',
        'native/binding/values/js_memory.cc',
      ],
    },
    {
      # The addon: build/Release/rdmavt.node
      'target_name': 'rdmavt',
      'includes': ['native/binding/binding.gypi'],
      'dependencies': ['rdmavt_checks', 'rdmavt_wire', 'rdmavt_fast_core', 'rdmavt_core'],
      'sources': [
        'native/binding/addon.cc',
        'native/binding/batch/held_report.cc',
        'native/binding/commands/commands.cc',
        'native/binding/environment/environment.cc',
        'native/binding/environment/event_queue.cc',
        'native/binding/environment/leaks.cc',
        'native/binding/environment/listeners.cc',
        'native/binding/environment/open_device.cc',
        'native/binding/environment/waker.cc',
        'native/binding/objects/ah.cc',
        'native/binding/objects/checkers.cc',
        'native/binding/objects/cq.cc',
        'native/binding/objects/device.cc',
        'native/binding/objects/device_memory.cc',
        'native/binding/objects/dma_mapping.cc',
        'native/binding/objects/pd.cc',
        'native/binding/objects/qp.cc',
        'native/binding/objects/report.cc',
        'native/binding/objects/sge_state.cc',
        'native/binding/objects/srq.cc',
        'native/binding/objects/work_requests.cc',
        'native/binding/values/command_block.cc',
        'native/binding/wire/packet_reader.cc',
      ],
      # node-addon-api consists of templates. With -O2 these files would make the binary half as large again.
      'configurations': { 'Release': { 'cflags_cc': ['<@(for_size)'] } },
    },
  ],
}
