{
  'target_defaults': {
    'includes': ['native/flags.gypi'],
  },
  'targets': [
    {
      # The core: plain C11, independent of Node. The C tests, sanitizers and fuzzers compile the same list of
      # files.
      'target_name': 'rdmavt_core',
      'includes': ['native/core/core.gypi'],
    },
    {
      # The RoCEv2 codec: plain C11, like the core.
      'target_name': 'rdmavt_wire',
      'includes': ['native/wire/wire.gypi'],
    },
    {
      # The part of the binding that every check runs, compiled for speed: programs call it a million times a
      # second.
      'target_name': 'rdmavt_checks',
      'type': 'static_library',
      'includes': ['native/binding/binding.gypi'],
      'dependencies': ['rdmavt_core'],
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
      'dependencies': ['rdmavt_checks', 'rdmavt_wire', 'rdmavt_core'],
      'sources': [
        'native/binding/addon.cc',
        'native/binding/batch/held_report.cc',
        'native/binding/commands/commands.cc',
        'native/binding/environment/device_port.cc',
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
        'native/binding/wire/endpoint.cc',
        'native/binding/wire/host_address.cc',
        'native/binding/wire/loop_watcher.cc',
        'native/binding/wire/packet_reader.cc',
        'native/binding/wire/udp_link.cc',
        'native/binding/wire/wire_endpoint.cc',
      ],
      'configurations': {
        'Release': {
          # Optimize for size: node-addon-api consists of templates. With -O2 these files would make the
          # binary half as large again and no faster, and every install contains eight binaries.
          'cflags_cc': ['-Os'],
        },
      },
    },
  ],
}
