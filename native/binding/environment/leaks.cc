// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/leaks.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace {

bool Gather(void *data, rvt_resource_kind, const uint64_t *fields) {
    auto *rows = static_cast<std::vector<std::array<uint64_t, RVT_MR_FIELDS>> *>(data);
    rows->emplace_back();
    std::copy_n(fields, RVT_MR_FIELDS, rows->back().begin());
    return true;
}

} // namespace

Leak GatherLeak(rvt_dev_info *device, const rvt_ucontext *context) {
    Leak leak = {static_cast<double>(device->number), static_cast<double>(context->id), {}};
    std::vector<std::array<uint64_t, RVT_MR_FIELDS>> rows;
    rvt_resource_report_owned(context, RVT_RESOURCE_MR, Gather, &rows);
    // Store them in creation order; the core reports the newest first.
    for (auto row = rows.rbegin(); row != rows.rend(); ++row)
        leak.regions.insert(leak.regions.end(), row->begin(), row->end());
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

// Returns false if there is no callback, or JavaScript cannot run.
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
    // If the callback throws, that is an uncaught exception of the process, as in any callback.
    napi_call_function(env_, receiver, callback_.Value(), 3, arguments, &result);
    return true;
}
