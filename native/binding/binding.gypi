# Settings of every target that compiles files of the binding (see /binding.gyp).
{
  'include_dirs': ['..', '<!(node -p "require(\'node-addon-api\').include_dir")'],
  'defines': [
    # Every Node since 18.17 supports Node-API 9, so one binary serves all versions.
    'NAPI_VERSION=9',
    'NAPI_DISABLE_CPP_EXCEPTIONS',
    'NODE_ADDON_API_DISABLE_DEPRECATED',
    # In a worker that is being terminated, every call into JavaScript fails, and so does throwing. Without
    # this define, node-addon-api would then abort the process.
    'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
  ],
}
