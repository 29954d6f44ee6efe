// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/leaks.h"

#include <algorithm>
#include <cstring>

namespace {

struct Gathered {
    uint64_t context;
    std::vector<uint64_t> *rows;
};

bool Gather(void *data, rvt_resource_kind kind, const uint64_t *fields) {
    auto *gathered = static_cast<Gathered *>(data);
    if (kind == RVT_RESOURCE_MR && fields[RVT_MR_CONTEXT] == gathered->context)
        gathered->rows->insert(gathered->rows->end(), fields, fields + RVT_MR_FIELDS);
    return true;
}

} // namespace

Leak GatherLeak(rvt_dev_info *device, const rvt_ucontext *context) {
    Leak leak = {static_cast<double>(device->number), static_cast<double>(context->id), {}};
    Gathered gathered = {context->id, &leak.regions};
    rvt_resource_report(device, Gather, &gathered);
    return leak;
}

void Leaks::Sort() {
    std::sort(leaks_.begin(), leaks_.end(), [](const Leak &a, const Leak &b) {
        return a.device != b.device ? a.device < b.device : a.context < b.context;
    });
}

void Leaks::Tell() {
    std::vector<Leak> leaks;
    leaks.swap(leaks_);
    for (const Leak &leak : leaks)
        if (!TellOne(leak))
            return;
}

// False: nobody listens, or JavaScript can not be told.
bool Leaks::TellOne(const Leak &leak) {
    napi_value buffer, receiver, arguments[3], result;
    void *data = nullptr;
    size_t bytes = leak.regions.size() * sizeof(uint64_t);
    if (callback_.IsEmpty() || napi_create_arraybuffer(env_, bytes, &data, &buffer) != napi_ok)
        return false;
    if (bytes)
        std::memcpy(data, leak.regions.data(), bytes);
    if (napi_get_undefined(env_, &receiver) != napi_ok ||
        napi_create_double(env_, leak.device, &arguments[0]) != napi_ok ||
        napi_create_double(env_, leak.context, &arguments[1]) != napi_ok ||
        napi_create_typedarray(env_, napi_biguint64_array, leak.regions.size(), buffer, 0, &arguments[2]) !=
            napi_ok)
        return false;
    // What it throws is the process's uncaught exception, as from any callback.
    napi_call_function(env_, receiver, callback_.Value(), 3, arguments, &result);
    return true;
}
