// SPDX-License-Identifier: BSD-3-Clause
// Arguments of native calls. The classes in lib have judged them before, with the messages that people read;
// here they are judged again, because a wrong one must be an exception and never a crash, whoever calls.
#ifndef RDMAVT_ARGUMENTS_H
#define RDMAVT_ARGUMENTS_H

#include <napi.h>

#include <cmath>
#include <cstdint>

// A look at the bytes of a typed array. Valid until JavaScript runs again; the bytes may change under it at
// any time if the array is over shared memory.
struct ArrayView {
    void *data = nullptr;
    size_t length = 0; // elements
};

// What a type is before Node-API says it. Versions of Node that have a kind of typed array which Node-API has
// no number for (Float16Array, at first) succeed and leave the type as it was: that must not be one that is
// wanted.
constexpr napi_typedarray_type kUnknownType = napi_float64_array;

// The bytes of a typed array of that type. False: `value` is anything else.
inline bool ViewOf(napi_env env, napi_value value, napi_typedarray_type type, ArrayView *view) {
    napi_typedarray_type found = kUnknownType;
    return napi_get_typedarray_info(env, value, &found, &view->length, &view->data, nullptr, nullptr) ==
               napi_ok &&
           found == type;
}

// The largest number up to which JavaScript holds all integers exactly: lengths, and serial numbers, which
// count from 1.
constexpr double kMostInteger = 9007199254740991.0;

// Reads arguments one after the other. The first one that is wrong throws a TypeError and clears ok();
// everything read after that is a zero. All arguments are read before the native work begins: reading runs no
// JavaScript.
class Arguments {
public:
    explicit Arguments(const Napi::CallbackInfo &info) : info_(info) {}

    bool ok() const {
        return ok_;
    }
    Napi::Value Undefined() const {
        return info_.Env().Undefined();
    }

    double Integer(size_t index, double low, double high) {
        Napi::Value value = info_[index];
        if (value.IsNumber()) {
            double number = value.As<Napi::Number>().DoubleValue();
            if (number >= low && number <= high && std::trunc(number) == number)
                return number;
        }
        Wrong(index, "an integer in range");
        return 0;
    }

    uint32_t U32(size_t index) {
        return static_cast<uint32_t>(Integer(index, 0, UINT32_MAX));
    }

    uint64_t U64(size_t index) {
        Napi::Value value = info_[index];
        if (value.IsBigInt()) {
            bool lossless = false;
            uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
            if (lossless)
                return number;
        }
        Wrong(index, "an unsigned 64-bit bigint");
        return 0;
    }

    bool Bool(size_t index) {
        if (info_[index].IsBoolean())
            return info_[index].As<Napi::Boolean>();
        Wrong(index, "a boolean");
        return false;
    }

    // `undefined` or an unsigned 64-bit bigint.
    bool OptionalU64(size_t index, uint64_t *out) {
        if (info_[index].IsUndefined())
            return false;
        *out = U64(index);
        return ok_;
    }

    ArrayView Array(size_t index, napi_typedarray_type type, size_t least = 0) {
        ArrayView view;
        if (ViewOf(info_.Env(), info_[index], type, &view) && view.length >= least)
            return view;
        Wrong(index, "a typed array of the right kind and length");
        return ArrayView();
    }

    // A Uint8Array of at least that length, aligned for 64-bit numbers, over memory that stays where it is:
    // shared memory can be neither detached nor moved. `buffer`: that memory.
    ArrayView SharedBytes(size_t index, size_t least, napi_value *buffer) {
        ArrayView view = Array(index, napi_uint8_array, least);
        bool plain = true;
        if (ok_ && (napi_get_typedarray_info(info_.Env(), info_[index], nullptr, nullptr, nullptr, buffer,
                                             nullptr) != napi_ok ||
                    napi_is_arraybuffer(info_.Env(), *buffer, &plain) != napi_ok || plain ||
                    reinterpret_cast<uintptr_t>(view.data) % sizeof(uint64_t)))
            Wrong(index, "an aligned Uint8Array over shared memory");
        return ok_ ? view : ArrayView();
    }

    template <typename T> T *Object(size_t index) {
        T *object = T::Get(info_[index]);
        if (!object)
            Wrong(index, "an object of this module");
        return object;
    }

    void Wrong(size_t index, const char *expected) {
        if (!ok_)
            return;
        ok_ = false;
        // Of one digit: none of the functions here takes ten. std::to_string wants all of formatted output.
        std::string message =
            std::string("argument ") + static_cast<char>('0' + index) + " must be " + expected;
        Napi::TypeError::New(info_.Env(), message).ThrowAsJavaScriptException();
    }

private:
    const Napi::CallbackInfo &info_;
    bool ok_ = true;
};

#endif
