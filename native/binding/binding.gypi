# What every target with files of the binding is compiled with (/binding.gyp).
{
  'include_dirs': ['..', '<!(node -p "require(\'node-addon-api\').include_dir")'],
  'defines': [
    # Node-API 9 is in every Node from 18.17 on: one binary serves all versions.
    'NAPI_VERSION=9',
    'NAPI_DISABLE_CPP_EXCEPTIONS',
    'NODE_ADDON_API_DISABLE_DEPRECATED',
    # In a worker that is being terminated every call into JavaScript fails, and so does throwing. Without this,
    # node-addon-api ends the whole process then.
    'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
  ],
}
