// SPDX-License-Identifier: BSD-3-Clause
// Reads and validates arguments of native calls. The classes in lib have already validated them, with error
// messages for users. They are validated again here, because a wrong argument must throw and never crash,
// even if a program calls the native module directly.
#ifndef RDMAVT_ARGUMENTS_H
#define RDMAVT_ARGUMENTS_H

#include <napi.h>

#include <cmath>
#include <cstdint>

// A view of a typed array's bytes. Valid until JavaScript runs again. If the array is over shared memory,
// other threads may change the bytes at any time.
struct ArrayView {
    void *data = nullptr;
    size_t length = 0; // number of elements
};

// Initial value of a typed array's type. Node versions with a kind of typed array that Node-API has no number
// for (initially Float16Array) succeed and leave the variable unchanged. So it must not be a type that
// callers accept.
constexpr napi_typedarray_type kUnknownType = napi_float64_array;

// Gets the view of a typed array of this type. Returns false if `value` is anything else.
inline bool ViewOf(napi_env env, napi_value value, napi_typedarray_type type, ArrayView *view) {
    napi_typedarray_type found = kUnknownType;
    return napi_get_typedarray_info(env, value, &found, &view->length, &view->data, nullptr, nullptr) ==
               napi_ok &&
           found == type;
}

// JavaScript's largest safe integer: the limit for lengths and for serial numbers, which count from 1.
constexpr double kMostInteger = 9007199254740991.0;

// Reads arguments one by one. The first invalid one throws a TypeError and clears ok(); later reads return
// zeros. All arguments are read before the native work starts, and reading runs no JavaScript.
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

    // Reads `undefined` or an unsigned 64-bit bigint. Returns whether a number was given.
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

    // Reads a Uint8Array of at least `least` bytes, aligned for 64-bit numbers, over a SharedArrayBuffer,
    // which can be neither detached nor moved. Stores that SharedArrayBuffer in *buffer.
    RVT_COLD ArrayView SharedBytes(size_t index, size_t least, napi_value *buffer) {
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

    RVT_COLD void Wrong(size_t index, const char *expected) {
        if (!ok_)
            return;
        ok_ = false;
        // One digit is enough: no function here takes ten arguments. std::to_string would link in all of
        // formatted output.
        std::string message =
            std::string("argument ") + static_cast<char>('0' + index) + " must be " + expected;
        Napi::TypeError::New(info_.Env(), message).ThrowAsJavaScriptException();
    }

private:
    const Napi::CallbackInfo &info_;
    bool ok_ = true;
};

#endif
