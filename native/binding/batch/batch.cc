// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/batch.h"

#include "binding/objects/cells.h"
#include "binding/objects/data_call.h"
#include "binding/objects/pd.h"
#include "binding/objects/qp.h"
#include "binding/values/arguments.h"
#include "binding/values/command_block.h"

Batch::Batch(std::shared_ptr<OpenDevice> of, const rvt_checker &by, const Block &over)
    : device(std::move(of)), checker(by), reader(device->environment().reader()), block(over),
      held(device->environment()), number(Batches::Of(device->environment()).Add(this)) {}

Batch::~Batch() {
    Environment &environment = device->environment();
    Batches::Of(environment).Remove(this);
    if (block_reference)
        environment.ReleaseReference(block_reference);
}

namespace {

// Callback data of a batch's functions. Each function holds one reference on the batch.
using Shared = std::shared_ptr<Batch>;

Batch *Of(napi_env env, napi_callback_info info, size_t *argc = nullptr, napi_value *argv = nullptr) {
    void *data = nullptr;
    napi_get_cb_info(env, info, argc, argv, nullptr, &data);
    return static_cast<Shared *>(data)->get();
}

// Returns the bytes of a Uint8Array argument, or {nullptr, 0} for anything else.
ArrayView BytesOf(napi_env env, napi_value value) {
    ArrayView bytes;
    return ViewOf(env, value, napi_uint8_array, &bytes) && bytes.data ? bytes : ArrayView();
}

// check(): judges the elements in the block.
napi_value Check(napi_env env, napi_callback_info info) {
    Batch *batch = Of(env, info);
    rvt_batch asked = batch->Ask();
    rvt_batch_result result;
    int status = rvt_check_batch(batch->reader, &asked, &batch->block.columns(), &result);
    batch->block.WriteAnswer(status, result);
    return nullptr;
}

// checkPacked(bytes): judges elements packed in the caller's memory. Writes verdicts only if the block has
// room for all of them; the counts always cover all elements.
napi_value CheckPacked(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    Batch *batch = Of(env, info, &argc, argv);
    ArrayView bytes = BytesOf(env, argv[0]);
    size_t all = bytes.length / RVT_PACKED_SGE_BYTES;
    uint32_t count = all < UINT32_MAX ? static_cast<uint32_t>(all) : UINT32_MAX;
    rvt_batch asked = batch->Ask(static_cast<const unsigned char *>(bytes.data), count);
    rvt_batch_columns none = {};
    rvt_batch_result result;
    int status = rvt_check_batch(batch->reader, &asked,
                                 count <= batch->block.capacity() ? &batch->block.columns() : &none, &result);
    batch->block.WriteAnswer(status, result);
    return nullptr;
}

// Returns the element that the command block names as the last one, or nullptr if it names none or the
// element was put.
rvt_sge *ReadLast(const Environment &environment) {
    const CommandBlock &block = CommandBlock::Of(environment);
    Cell *cell = block.ready()
                     ? Cells::Of(environment)
                           .Find(block.Read(RVT_COMMAND_LAST_CELL), block.Read(RVT_COMMAND_LAST_GENERATION))
                     : nullptr;
    return cell ? cell->element() : nullptr;
}

// acquire(continues): judges the block's elements and keeps their references. If `continues` is true, the
// first element may be coalesced with the element that the command block names.
napi_value Acquire(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    Batch *batch = Of(env, info, &argc, argv);
    bool continues = false;
    napi_get_value_bool(env, argv[0], &continues); // values other than true count as false
    rvt_sge *last = continues ? ReadLast(batch->device->environment()) : nullptr;
    rvt_batch asked = batch->Ask();
    rvt_batch_result result = {};
    int status =
        batch->held.Reserve(asked.count, batch->block.capacity())
            ? rvt_acquire_batch(batch->reader, &asked, batch->block.ReadFlags() & RVT_HEADER_FLAG_COALESCE,
                                last, batch->held.data(), &batch->block.columns(), &result)
            : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    batch->block.WriteAnswer(status, result);
    return nullptr;
}

napi_value Put(napi_env env, napi_callback_info info) {
    Batch *batch = Of(env, info);
    rvt_batch_result result = {};
    result.first_refused = UINT32_MAX; // no element was refused
    result.passed = batch->held.Put(batch->block.ReadCount());
    batch->block.WriteAnswer(0, result);
    batch->device->environment().DrainReferences();
    return nullptr;
}

// take(index): moves a held element and its reference into the empty cell that the command block names.
// Answers -EBADF if no element is held at the index, -EINVAL if the cell is not an empty cell.
napi_value Take(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    Batch *batch = Of(env, info, &argc, argv);
    Environment &environment = batch->device->environment();
    CommandBlock &block = CommandBlock::Of(environment);
    uint32_t index;
    if (!block.ready())
        return nullptr;
    Cell *cell = Cells::Of(environment).FindEmpty(block.Read(RVT_COMMAND_CELL));
    if (!cell || napi_get_value_uint32(env, argv[0], &index) != napi_ok) {
        block.Answer(rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT));
        return nullptr;
    }
    if (!batch->held.Take(index, &cell->own)) {
        block.Answer(rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT));
        return nullptr;
    }
    Cells::Fill(*cell, *batch->device);
    block.Write(RVT_COMMAND_CELL_GENERATION, cell->generation);
    block.Answer(0);
    return nullptr;
}

// gather(target) copies bytes out of the elements, scatter(source) copies bytes into them.
template <bool gather> napi_value CopyBuffer(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    Batch *batch = Of(env, info, &argc, argv);
    ArrayView bytes = BytesOf(env, argv[0]);
    rvt_batch asked = batch->Ask();
    rvt_batch_result result;
    DataCall call(*batch->device);
    int status = gather ? rvt_gather_batch(call.get(), &asked, bytes.data, bytes.length, &result)
                        : rvt_scatter_batch(call.get(), &asked, bytes.data, bytes.length, &result);
    batch->block.WriteMoved(status, result);
    return nullptr;
}

// Returns the batch behind an object that CreateBatch created, or nullptr for anything else.
Batch *BatchOf(napi_env env, napi_value object) {
    void *handle = nullptr;
    napi_type_tag tag = WrapperTag(kBatch);
    bool tagged = false;
    if (napi_check_object_type_tag(env, object, &tag, &tagged) != napi_ok || !tagged ||
        napi_unwrap(env, object, &handle) != napi_ok)
        return nullptr;
    return static_cast<Shared *>(handle)->get();
}

// copyTo(other): copies from this batch's elements into those of another batch.
napi_value CopyTo(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    Batch *from = Of(env, info, &argc, argv);
    Batch *to = argc ? BatchOf(env, argv[0]) : nullptr;
    if (!to) {
        from->block.WriteAnswer(rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT), {});
        return nullptr;
    }
    rvt_batch from_asked = from->Ask();
    rvt_batch to_asked = to->Ask();
    rvt_batch_result from_result, to_result;
    DataCall call(*from->device);
    int status = rvt_copy_batch(call.get(), &from_asked, &to_asked, &from_result, &to_result);
    from->block.WriteMoved(status, from_result);
    to->block.WriteMoved(status, to_result);
    return nullptr;
}

void FreeShared(napi_env, void *data, void *) {
    delete static_cast<Shared *>(data);
}

// Adds a function to the batch's object. The function keeps the batch alive.
bool AddFunction(napi_env env, napi_value object, const Shared &batch, const char *name,
                 napi_callback callback) {
    auto *shared = new Shared(batch);
    napi_value value;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, shared, &value) != napi_ok ||
        napi_add_finalizer(env, value, shared, FreeShared, nullptr, nullptr) != napi_ok) {
        delete shared;
        return false;
    }
    napi_set_named_property(env, object, name, value);
    return true;
}

// Wraps and tags the object, so that another batch's copyTo recognizes it.
bool Tag(napi_env env, napi_value object, const Shared &batch) {
    auto *shared = new Shared(batch);
    if (napi_wrap(env, object, shared, FreeShared, nullptr, nullptr) != napi_ok) {
        delete shared;
        return false;
    }
    // BatchOf() rejects an object without a tag, so a failure here can be ignored.
    napi_type_tag tag = WrapperTag(kBatch);
    napi_type_tag_object(env, object, &tag);
    return true;
}

// Creates the JavaScript object of a batch. Returns an empty value if JavaScript could not create it.
Napi::Value ObjectOf(napi_env env, const Shared &batch) {
    const struct {
        const char *name;
        napi_callback callback;
    } functions[] = {
        {"check", Check}, {"checkPacked", CheckPacked}, {"acquire", Acquire},           {"put", Put},
        {"take", Take},   {"gather", CopyBuffer<true>}, {"scatter", CopyBuffer<false>}, {"copyTo", CopyTo},
    };
    napi_value object;
    if (napi_create_object(env, &object) != napi_ok)
        return Napi::Value();
    for (const auto &function : functions)
        if (!AddFunction(env, object, batch, function.name, function.callback))
            return Napi::Value();
    if (!Tag(env, object, batch))
        return Napi::Value();
    napi_value number;
    if (napi_create_uint32(env, batch->number, &number) == napi_ok)
        napi_set_named_property(env, object, "number", number);
    return Napi::Value(env, object);
}

} // namespace

RVT_COLD Napi::Value CreateBatch(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    bool places = arguments.Bool(3), accesses = arguments.Bool(4);
    auto capacity = static_cast<uint32_t>(arguments.Integer(2, 1, RVT_BATCH_MAX_ELEMENTS));
    napi_value buffer = nullptr;
    ArrayView view = arguments.SharedBytes(1, 0, &buffer);
    if (view.length != Block::Bytes(capacity, places, accesses))
        arguments.Wrong(1, "as long as the block of the batch");
    ProtectionDomain *pd = ProtectionDomain::Get(info[0]);
    QueuePair *qp = pd ? nullptr : QueuePair::Get(info[0]);
    if (!pd && !qp)
        arguments.Wrong(0, "a protection domain or a queue pair");
    if (!arguments.ok())
        return arguments.Undefined();

    const std::shared_ptr<OpenDevice> &device = pd ? pd->payload().device : qp->payload().device;
    rvt_checker checker;
    if (!(pd ? rvt_checker_of_pd(pd->payload().handle, &checker)
             : rvt_checker_of_qp(qp->payload().handle, &checker)))
        return Napi::Number::New(
            env, rvt_fail_gone(device->get(), device->context(), pd ? RVT_CAUSE_PD_GONE : RVT_CAUSE_QP_GONE));
    auto batch = std::make_shared<Batch>(device, checker, Block(view.data, capacity, places, accesses));
    if (napi_create_reference(env, buffer, 1, &batch->block_reference) != napi_ok)
        return Napi::Value();
    return ObjectOf(env, batch);
}
