// SPDX-License-Identifier: BSD-3-Clause
#include "binding/wire/packet_reader.h"

#include <memory>
#include <new>

#include "binding/environment/environment.h"
#include "binding/values/arguments.h"
#include "binding/values/shared_function.h"
#include "core/rvt.h"
#include "wire/wire.h"

namespace {

// A reader. Its functions own it and keep its block alive.
struct PacketReader {
    PacketReader(std::shared_ptr<Environment> of, rvt_row_reader *rows)
        : environment(std::move(of)), reader(rows) {}
    ~PacketReader() {
        if (reference)
            environment->ReleaseReference(reference);
    }
    PacketReader(const PacketReader &) = delete;
    PacketReader &operator=(const PacketReader &) = delete;

    std::shared_ptr<Environment> environment;
    std::unique_ptr<rvt_row_reader> reader;
    napi_ref reference = nullptr;
};

PacketReader &ReaderOf(const Napi::CallbackInfo &info) {
    return **static_cast<std::shared_ptr<PacketReader> *>(info.Data());
}

napi_value Read(napi_env env, napi_callback_info raw) {
    Napi::CallbackInfo info(env, raw);
    Arguments arguments(info);
    ArrayView chunk = arguments.Array(0, napi_uint8_array);
    // Nobody may change the bytes between their checks and their use, so other threads must not see them.
    bool plain = false;
    napi_value buffer = nullptr;
    if (arguments.ok() &&
        (napi_get_typedarray_info(env, info[0], nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok ||
         napi_is_arraybuffer(env, buffer, &plain) != napi_ok || !plain || chunk.length > RVT_WIRE_MAX_CHUNK))
        arguments.Wrong(0, "a Uint8Array of fewer than 2^31 bytes that is not shared");
    size_t from = static_cast<size_t>(arguments.Integer(1, 0, static_cast<double>(chunk.length)));
    if (arguments.ok())
        rvt_rows_read(ReaderOf(info).reader.get(), static_cast<const unsigned char *>(chunk.data),
                      chunk.length, from);
    return nullptr;
}

napi_value End(napi_env env, napi_callback_info raw) {
    Napi::CallbackInfo info(env, raw);
    rvt_rows_end(ReaderOf(info).reader.get());
    return nullptr;
}

} // namespace

Napi::Value CreatePacketReader(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    uint32_t rows = static_cast<uint32_t>(arguments.Integer(1, 1, RVT_WIRE_MAX_ROWS));
    napi_value buffer, object;
    ArrayView view =
        arguments.SharedBytes(0, RVT_WIRE_ROWS_AT + static_cast<size_t>(rows) * RVT_WIRE_ROW_BYTES, &buffer);
    if (!arguments.ok())
        return arguments.Undefined();
    auto *reader = new (std::nothrow) rvt_row_reader;
    if (!reader)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    rvt_rows_start(reader, static_cast<unsigned char *>(view.data), rows);
    auto shared = std::make_shared<PacketReader>(Environment::Of(env), reader);
    if (napi_create_reference(env, buffer, 1, &shared->reference) != napi_ok ||
        napi_create_object(env, &object) != napi_ok ||
        !AddSharedFunction(env, object, shared, "read", Read) ||
        !AddSharedFunction(env, object, shared, "end", End))
        return Napi::Value();
    return Napi::Value(env, object);
}
