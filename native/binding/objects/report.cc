// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/report.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>

#include "binding/values/arguments.h"
#include "binding/values/js_memory.h"

namespace {

// Rows of RVT_TABLE_COUNT numbers. `capacity` is in rows. If the table has grown since the last report, the
// head's `used` is larger than `count`, and the caller reports again.
struct TableRows {
    std::unique_ptr<double[]> numbers;
    size_t capacity = 0, count = 0;
};

void AddTableRow(void *context, const rvt_table_row *row) {
    auto *rows = static_cast<TableRows *>(context);
    if (rows->count == rows->capacity)
        return;
    double *at = &rows->numbers[rows->count++ * RVT_TABLE_COUNT];
    at[RVT_TABLE_INDEX] = row->index;
    at[RVT_TABLE_LKEY] = row->lkey;
    at[RVT_TABLE_REGION] = row->mr ? static_cast<double>(rvt_mr_id(row->mr)) : 0;
    at[RVT_TABLE_REGION_INDEX] = row->mr ? rvt_mr_index(row->mr) : 0;
    at[RVT_TABLE_WINDOW] = row->mw ? static_cast<double>(row->mw->owned.serial) : 0;
}

} // namespace

Napi::Value ReportKeySlots(Napi::Env env, rvt_dev_info *device) {
    rvt_table_head head = {};
    rvt_table_report(device, &head, nullptr, nullptr);
    Napi::Object slots = Napi::Object::New(env);
    slots.Set("used", Napi::Number::New(env, head.used));
    slots.Set("max", Napi::Number::New(env, head.max));
    return slots;
}

Napi::Value ReportKeyTable(Napi::Env env, const rvt_ucontext *to) {
    rvt_table_head head = {};
    TableRows rows;
    // The first round has no capacity and only counts.
    for (;;) {
        rows.count = 0;
        int error = rvt_table_report_to(to, &head, AddTableRow, &rows);
        if (error)
            return Napi::Number::New(env, error);
        if (rows.count == head.used)
            break;
        rows.capacity = head.used;
        rows.numbers.reset(new (std::nothrow) double[rows.capacity * RVT_TABLE_COUNT]);
        if (!rows.numbers)
            return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    }
    size_t numbers = rows.count * RVT_TABLE_COUNT;
    Napi::Float64Array used = Napi::Float64Array::New(env, numbers);
    if (used.IsEmpty()) // no memory, or the worker is being terminated
        return Napi::Value();
    for (size_t i = 0; i < numbers; i++)
        used[i] = rows.numbers[i];
    Napi::Object table = Napi::Object::New(env);
    table.Set("max", Napi::Number::New(env, head.max));
    table.Set("next", Napi::Number::New(env, head.next));
    table.Set("generation", Napi::Number::New(env, head.generation));
    table.Set("used", used);
    return table;
}

namespace {

// Rows of all kinds, each kind in a list of its own. A list that was given an array of JavaScript writes into it
// while the rows fit, and otherwise into memory of its own. The lists grow while the device lock is held, so without exceptions; running out of memory stops the report.
struct ResourceRows {
    const rvt_dev_info *device = nullptr;
    struct List {
        uint64_t *numbers = nullptr;
        size_t count = 0, capacity = 0;
        bool is_reused = false; // numbers is memory of JavaScript
    } lists[RVT_RESOURCE_KINDS];
    bool complete = true;

    ~ResourceRows() {
        for (List &list : lists) {
            if (!list.is_reused)
                std::free(list.numbers);
        }
    }
};

bool AddResource(void *context, rvt_resource_kind kind, const uint64_t *fields) {
    auto *rows = static_cast<ResourceRows *>(context);
    if (kind >= RVT_RESOURCE_KINDS)
        return true; // a kind that TypeScript does not know
    ResourceRows::List &list = rows->lists[kind];
    size_t more = rvt_resource_fields(rows->device, kind);
    if (list.count + more > list.capacity) {
        size_t capacity = list.capacity * 2 > 64 * more ? list.capacity * 2 : 64 * more;
        void *numbers = std::realloc(list.is_reused ? nullptr : list.numbers, capacity * sizeof(uint64_t));
        if (!numbers)
            return rows->complete = false;
        if (list.is_reused)
            std::memcpy(numbers, list.numbers, list.count * sizeof(uint64_t));
        list = {static_cast<uint64_t *>(numbers), list.count, capacity, false};
    }
    std::memcpy(&list.numbers[list.count], fields, more * sizeof(uint64_t));
    list.count += more;
    return true;
}

// Maps the number of each buffer that this environment knows to whether it is detached.
using KnownDetached = std::unordered_map<uint64_t, bool>;

// Writes to rows of regions or mappings whether their buffer is detached, if this environment knows. Must not
// be called with the device lock held.
void TellDetached(ResourceRows::List &list, size_t fields, size_t kind, const KnownDetached &known) {
    constexpr size_t kBuffer = RVT_MR_BUFFER - RVT_MR_MEMORY_KIND;
    constexpr size_t kDetached = RVT_MR_DETACHED - RVT_MR_MEMORY_KIND;
    for (size_t at = 0; at < list.count; at += fields) {
        uint64_t *row = &list.numbers[at];
        if (row[kind] != RVT_MEMORY_KIND_ARRAY_BUFFER)
            continue;
        auto found = known.find(row[kind + kBuffer]);
        if (found != known.end())
            row[kind + kDetached] = found->second ? RVT_DETACHED_YES : RVT_DETACHED_NO;
    }
}

// Lets the list write into this array. Anything else is ignored, and so is memory that other threads may write at
// the same time.
void Reuse(napi_env env, napi_value array, ResourceRows::List &list) {
    napi_typedarray_type type = kUnknownType;
    napi_value buffer;
    bool is_plain = false;
    void *data = nullptr;
    size_t length = 0;
    if (napi_get_typedarray_info(env, array, &type, &length, &data, &buffer, nullptr) != napi_ok ||
        type != napi_biguint64_array || napi_is_arraybuffer(env, buffer, &is_plain) != napi_ok || !is_plain ||
        !data)
        return;
    list = {static_cast<uint64_t *>(data), 0, length, true};
}

// Returns the rows as an array: over the first bytes of `reused` if they were written there. `keeps` leaves room
// behind them in a new buffer, so that a later report with a few rows more finds its place there. Returns an empty
// value without memory, or if the worker is being terminated.
Napi::Value ArrayOfRows(Napi::Env env, const ResourceRows::List &list, napi_value reused, bool keeps) {
    if (list.is_reused) {
        napi_value buffer, array;
        size_t offset = 0;
        if (napi_get_typedarray_info(env, reused, nullptr, nullptr, nullptr, &buffer, &offset) != napi_ok ||
            napi_create_typedarray(env, napi_biguint64_array, list.count, buffer, offset, &array) != napi_ok)
            return Napi::Value();
        return Napi::Value(env, array);
    }
    const size_t room = keeps ? list.count + list.count / 4 : list.count;
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, room * sizeof(uint64_t));
    if (buffer.IsEmpty())
        return Napi::Value();
    if (list.count)
        std::memcpy(buffer.Data(), list.numbers, list.count * sizeof(uint64_t));
    return Napi::BigUint64Array::New(env, list.count, buffer, 0);
}

} // namespace

Napi::Value ReportResources(const Napi::CallbackInfo &info, OpenDevice &open) {
    Napi::Env env = info.Env();
    const rvt_ucontext *to = open.context();
    ResourceRows resources;
    resources.device = to->device;
    for (size_t kind = 0; kind < RVT_RESOURCE_KINDS && kind < info.Length(); kind++)
        Reuse(env, info[kind], resources.lists[kind]);
    rvt_resource_report_to(to, AddResource, &resources);
    if (!resources.complete)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    KnownDetached known;
    KnownBuffers::Of(open.environment()).ForEach([&known](const JsBuffer &buffer) {
        if (!buffer.shared_bytes && !buffer.of_device)
            known[buffer.number] = buffer.IsDetached();
    });
    TellDetached(resources.lists[RVT_RESOURCE_MR], RVT_MR_FIELDS, RVT_MR_MEMORY_KIND, known);
    TellDetached(resources.lists[RVT_RESOURCE_DMA], RVT_DMA_FIELDS, RVT_DMA_MEMORY_KIND, known);
    Napi::Array all = Napi::Array::New(env, RVT_RESOURCE_KINDS);
    for (uint32_t kind = 0; kind < RVT_RESOURCE_KINDS; kind++) {
        Napi::Value rows = ArrayOfRows(env, resources.lists[kind], info[kind], info.Length() > 0);
        if (rows.IsEmpty())
            return Napi::Value();
        all.Set(kind, rows);
    }
    return all;
}
