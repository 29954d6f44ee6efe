{
  'target_defaults': {
    'includes': ['native/flags.gypi'],
  },
  'targets': [
    {
      # The port: plain C11 that knows nothing of Node. The tests, sanitizers and fuzzers compile the same list.
      'target_name': 'rdmavt_core',
      'includes': ['native/core/core.gypi'],
    },
    {
      # The add-on: build/Release/rdmavt.node
      'target_name': 'rdmavt',
      'dependencies': ['rdmavt_core'],
      'sources': [
        'native/binding/addon.cc',
        'native/binding/device.cc',
        'native/binding/device_memory.cc',
        'native/binding/environment.cc',
        'native/binding/hot_batch.cc',
        'native/binding/js_memory.cc',
        'native/binding/memory_region.cc',
        'native/binding/protection_domain.cc',
        'native/binding/queue_pair.cc',
        'native/binding/sge.cc',
        'native/binding/sge_state.cc',
      ],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': [
        # Node-API 9 is in every Node from 18.17 on: one binary serves all versions.
        'NAPI_VERSION=9',
        'NAPI_DISABLE_CPP_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        # In a worker that is being terminated every call into JavaScript fails, and so does throwing. Without this,
        # node-addon-api ends the whole process then.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
    },
  ],
}
