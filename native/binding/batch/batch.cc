// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/batch.h"

#include <cstring>
#include <new>

#include "binding/objects/pd.h"
#include "binding/objects/qp.h"
#include "binding/objects/sge.h"
#include "binding/values/arguments.h"
#include "core/rvt.h"

namespace {

// The block's layout; lib/verbs/batch-block.ts has the same numbers. A header of 64 bytes, the elements, the
// columns.
enum HeaderWord { kCount, kAccess, kFlags, kPassed, kFirstRefused, kReason, kStatus };
constexpr size_t kBytesMovedAt = 32;
constexpr size_t kHeaderBytes = 64;
constexpr uint32_t kCoalesce = 1;
constexpr uint32_t kMostElements = 1u << 24;

size_t BlockBytes(size_t capacity, bool places) {
    return kHeaderBytes + capacity * (16 + 4 + (places ? 8 + 8 + 4 + 4 + 4 : 0));
}

} // namespace

// A batch. JavaScript (of any thread) may write anything into the block at any time: the count is read once
// and held against the capacity that stands here, elements are read once each, and nothing that was written
// out is read back.
struct HotBatch {
    std::shared_ptr<OpenDevice> device;
    rvt_checker checker;
    rvt_reader *reader; // the environment's
    unsigned char
        *block; // shared memory: never detached, never moved; kept alive by the functions' closure in lib
    uint32_t capacity;
    rvt_batch_columns columns;
    rvt_sge *held = nullptr; // capacity elements, made by the first acquire
    napi_ref block_reference = nullptr;
    size_t number = SIZE_MAX; // in the environment's list

    ~HotBatch() {
        Environment &environment = device->environment();
        if (number < environment.batches.size()) {
            environment.batches[number] = nullptr;
            environment.free_batches.push_back(number);
        }
        if (held)
            rvt_release_batch(held, capacity);
        delete[] held;
        if (block_reference)
            device->environment().ReleaseReference(block_reference);
    }

    volatile uint32_t *word(HeaderWord which) {
        return reinterpret_cast<volatile uint32_t *>(block) + which;
    }

    rvt_batch Batch(const unsigned char *sges, uint32_t count, uint32_t access) const {
        return {&checker, sges, count, access};
    }
    const unsigned char *elements() const {
        return block + kHeaderBytes;
    }

    uint32_t Count() {
        uint32_t count = *word(kCount);
        return count < capacity ? count : capacity;
    }

    void Answer(int status, const rvt_batch_result &result) {
        *word(kPassed) = result.passed;
        *word(kFirstRefused) = result.first_refused;
        *word(kReason) = result.reason;
        *word(kStatus) = static_cast<uint32_t>(status);
    }
};

namespace {

using Shared = std::shared_ptr<HotBatch>;

HotBatch *Of(napi_env env, napi_callback_info info, size_t *argc = nullptr, napi_value *argv = nullptr) {
    void *data = nullptr;
    napi_get_cb_info(env, info, argc, argv, nullptr, &data);
    return static_cast<Shared *>(data)->get();
}

// The bytes of a Uint8Array argument; {nullptr, 0} for anything else.
struct Bytes {
    unsigned char *data = nullptr;
    size_t length = 0;
};
Bytes BytesOf(napi_env env, napi_value value) {
    Bytes bytes;
    bool typed = false;
    napi_typedarray_type type = kUnknownType;
    void *data = nullptr;
    if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed ||
        napi_get_typedarray_info(env, value, &type, &bytes.length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array || !data)
        return Bytes();
    bytes.data = static_cast<unsigned char *>(data);
    return bytes;
}

// check(): the block's elements.
napi_value Check(napi_env env, napi_callback_info info) {
    HotBatch *batch = Of(env, info);
    rvt_batch in = batch->Batch(batch->elements(), batch->Count(), *batch->word(kAccess));
    rvt_batch_result result;
    batch->Answer(rvt_check_batch(batch->reader, &in, &batch->columns, &result), result);
    return nullptr;
}

// checkPacked(bytes): elements that lie packed in the caller's memory. Verdicts are told for as many as the
// block has room for; the counts are of all.
napi_value CheckPacked(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    HotBatch *batch = Of(env, info, &argc, argv);
    Bytes bytes = BytesOf(env, argv[0]);
    size_t all = bytes.length / 16;
    uint32_t count = all < UINT32_MAX ? static_cast<uint32_t>(all) : UINT32_MAX;
    rvt_batch in = batch->Batch(bytes.data, count, *batch->word(kAccess));
    rvt_batch_columns none = {};
    rvt_batch_result result;
    int status =
        rvt_check_batch(batch->reader, &in, count <= batch->capacity ? &batch->columns : &none, &result);
    batch->Answer(status, result);
    return nullptr;
}

// acquire(seed?): an Sge or nothing.
napi_value Acquire(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    HotBatch *batch = Of(env, info, &argc, argv);
    Sge *seed = argc ? Sge::Get(Napi::Value(env, argv[0])) : nullptr;
    if (!batch->held)
        batch->held = new (std::nothrow) rvt_sge[batch->capacity]();
    rvt_batch in = batch->Batch(batch->elements(), batch->Count(), *batch->word(kAccess));
    rvt_batch_result result = {};
    int status = -RVT_ENOMEM;
    if (batch->held) {
        status =
            rvt_acquire_batch(batch->reader, &in, *batch->word(kFlags) & kCoalesce,
                              seed ? &seed->payload()->sge : nullptr, batch->held, &batch->columns, &result);
    }
    batch->Answer(status, result);
    return nullptr;
}

napi_value Release(napi_env env, napi_callback_info info) {
    HotBatch *batch = Of(env, info);
    rvt_batch_result result = {};
    result.first_refused = UINT32_MAX; // none
    if (batch->held)
        result.passed = rvt_release_batch(batch->held, batch->Count());
    batch->Answer(0, result);
    batch->device->environment().DrainReferences();
    return nullptr;
}

// take(index): the held element as an object of its own, which has the reference from now on; undefined if
// none is held.
napi_value Take(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    HotBatch *batch = Of(env, info, &argc, argv);
    uint32_t index;
    if (!argc || napi_get_value_uint32(env, argv[0], &index) != napi_ok || index >= batch->capacity ||
        !batch->held || !batch->held[index].mr)
        return nullptr;
    rvt_sge sge = batch->held[index];
    batch->held[index].mr = nullptr;
    return Sge::Wrap(batch->device, sge);
}

void AnswerMoved(HotBatch *batch, int status, const rvt_batch_result &result) {
    batch->Answer(status, result);
    double moved = static_cast<double>(result.bytes);
    std::memcpy(batch->block + kBytesMovedAt, &moved, sizeof(moved));
}

template <bool gather> napi_value CopyBuffer(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    HotBatch *batch = Of(env, info, &argc, argv);
    Bytes bytes;
    if (argc)
        bytes = BytesOf(env, argv[0]);
    rvt_batch in = batch->Batch(batch->elements(), batch->Count(), *batch->word(kAccess));
    rvt_batch_result result;
    DataCall call(*batch->device);
    int status = gather ? rvt_gather_batch(call.get(), &in, bytes.data, bytes.length, &result)
                        : rvt_scatter_batch(call.get(), &in, bytes.data, bytes.length, &result);
    AnswerMoved(batch, status, result);
    return nullptr;
}

// copyTo(check of the other batch): its function stands for it, since that carries the batch.
napi_value CopyTo(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    HotBatch *from = Of(env, info, &argc, argv);
    HotBatch *to = nullptr;
    void *handle = nullptr;
    napi_type_tag tag = WrapperTag(kBatch);
    bool tagged = false;
    if (argc && napi_check_object_type_tag(env, argv[0], &tag, &tagged) == napi_ok && tagged &&
        napi_unwrap(env, argv[0], &handle) == napi_ok)
        to = static_cast<Shared *>(handle)->get();
    if (!to) {
        from->Answer(-RVT_EINVAL, {});
        return nullptr;
    }
    rvt_batch from_in = from->Batch(from->elements(), from->Count(), *from->word(kAccess));
    rvt_batch to_in = to->Batch(to->elements(), to->Count(), *to->word(kAccess));
    rvt_batch_result from_result, to_result;
    DataCall call(*from->device);
    int status = rvt_copy_batch(call.get(), &from_in, &to_in, &from_result, &to_result);
    AnswerMoved(from, status, from_result);
    AnswerMoved(to, status, to_result);
    return nullptr;
}

void FreeShared(napi_env, void *data, void *) {
    delete static_cast<Shared *>(data);
}

} // namespace

Napi::Value CreateBatch(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    bool places = arguments.Bool(3);
    auto capacity = static_cast<uint32_t>(arguments.Integer(2, 1, kMostElements));
    ArrayView view = arguments.Array(1, napi_uint8_array);
    ProtectionDomain *pd = ProtectionDomain::Get(info[0]);
    QueuePair *qp = pd ? nullptr : QueuePair::Get(info[0]);
    if (!pd && !qp)
        arguments.Wrong(0, "a protection domain or a queue pair");
    // Only shared memory stays where it is.
    napi_value buffer = nullptr;
    bool plain = true;
    if (arguments.ok() &&
        (napi_get_typedarray_info(env, info[1], nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok ||
         napi_is_arraybuffer(env, buffer, &plain) != napi_ok || plain ||
         view.length != BlockBytes(capacity, places) || reinterpret_cast<uintptr_t>(view.data) % 8))
        arguments.Wrong(1, "an aligned Uint8Array over shared memory, of the block's size");
    if (!arguments.ok())
        return arguments.Undefined();

    auto batch = std::make_shared<HotBatch>();
    batch->device = pd ? pd->payload().device : qp->payload().device;
    if (!(pd ? rvt_checker_of_pd(pd->payload().handle, &batch->checker)
             : rvt_checker_of_qp(qp->payload().handle, &batch->checker)))
        return Napi::Number::New(env, -RVT_EBADF);
    batch->reader = batch->device->environment().reader();
    batch->block = static_cast<unsigned char *>(view.data);
    batch->capacity = capacity;
    if (napi_create_reference(env, buffer, 1, &batch->block_reference) != napi_ok)
        return Napi::Value();
    unsigned char *at = batch->block + kHeaderBytes + size_t{16} * capacity;
    batch->columns = {};
    if (places) {
        batch->columns.region = reinterpret_cast<double *>(at);
        at += size_t{8} * capacity;
        batch->columns.at = reinterpret_cast<uint64_t *>(at);
        at += size_t{8} * capacity;
        for (uint32_t **column : {&batch->columns.length, &batch->columns.m, &batch->columns.n}) {
            *column = reinterpret_cast<uint32_t *>(at);
            at += size_t{4} * capacity;
        }
    }
    batch->columns.verdict = reinterpret_cast<uint32_t *>(at);

    // The functions, and a handle by which another batch can name this one. Each keeps the batch alive.
    const struct {
        const char *name;
        napi_callback callback;
    } functions[] = {{"check", Check},

                     {"checkPacked", CheckPacked},
                     {"acquire", Acquire},
                     {"put", Release},
                     {"take", Take},
                     {"gather", CopyBuffer<true>},
                     {"scatter", CopyBuffer<false>},
                     {"copyTo", CopyTo}};
    napi_value object;
    if (napi_create_object(env, &object) != napi_ok)
        return Napi::Value();
    for (const auto &function : functions) {
        auto *shared = new Shared(batch);
        napi_value value;
        if (napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, shared, &value) !=
                napi_ok ||
            napi_add_finalizer(env, value, shared, FreeShared, nullptr, nullptr) != napi_ok) {
            delete shared;
            return Napi::Value();
        }
        napi_set_named_property(env, object, function.name, value);
    }
    auto *shared = new Shared(batch);
    napi_type_tag tag = WrapperTag(kBatch);
    if (napi_wrap(env, object, shared, FreeShared, nullptr, nullptr) != napi_ok) {
        delete shared;
        return Napi::Value();
    }
    napi_type_tag_object(env, object, &tag);

    Environment &environment = batch->device->environment();
    size_t number = environment.batches.size();
    if (environment.free_batches.empty()) {
        environment.batches.push_back(nullptr);
    } else {
        number = environment.free_batches.back();
        environment.free_batches.pop_back();
    }
    environment.batches[number] = batch.get();
    batch->number = number;
    napi_value index;
    if (napi_create_uint32(env, static_cast<uint32_t>(number), &index) == napi_ok)
        napi_set_named_property(env, object, "number", index);
    return Napi::Value(env, object);
}

Napi::Value CommandBlock(const Napi::CallbackInfo &info) {
    constexpr size_t kCommandBytes = 64;
    Napi::Env env = info.Env();
    std::shared_ptr<Environment> environment = Environment::Of(env);
    Arguments arguments(info);
    napi_value block = nullptr;
    if (environment->command) {
        napi_get_reference_value(env, environment->command_reference, &block);
        return Napi::Value(env, block);
    }
    ArrayView view = arguments.Array(0, napi_uint8_array, kCommandBytes);
    napi_value buffer = nullptr;
    bool plain = true;
    if (arguments.ok() &&
        (napi_get_typedarray_info(env, info[0], nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok ||
         napi_is_arraybuffer(env, buffer, &plain) != napi_ok || plain ||
         reinterpret_cast<uintptr_t>(view.data) % 8))
        arguments.Wrong(0, "an aligned Uint8Array over shared memory");
    if (!arguments.ok())
        return arguments.Undefined();
    // For good: the environment keeps it as long as it runs, and takes the reference down with itself.
    if (napi_create_reference(env, info[0], 1, &environment->command_reference) != napi_ok)
        return Napi::Value();
    environment->command = static_cast<uint32_t *>(view.data);
    return info[0];
}

// Whatever number stands in the command block, it names a batch of this environment or none.
napi_value CheckOne(napi_env env, napi_callback_info info) {
    void *data = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    auto *environment = static_cast<Environment *>(data);
    volatile uint32_t *command = environment->command;
    if (!command)
        return nullptr;
    uint32_t number = command[0];
    HotBatch *batch = number < environment->batches.size() ? environment->batches[number] : nullptr;
    if (!batch) {
        command[1] = static_cast<uint32_t>(-RVT_EBADF);
        return nullptr;
    }
    rvt_batch in = batch->Batch(batch->elements(), 1, *batch->word(kAccess));
    command[1] = static_cast<uint32_t>(rvt_check_one(batch->reader, &in));
    return nullptr;
}

napi_value Empty(napi_env, napi_callback_info) {
    return nullptr;
}
