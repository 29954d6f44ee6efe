// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_DMA_MAPPING_H
#define RDMAVT_BINDING_DMA_MAPPING_H

#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct DmaMappingPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_dma_handle handle;
    uint64_t address, length;
};

class DmaMapping : public Wrapper<DmaMapping, DmaMappingPayload, kDmaMapping> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Address(const Napi::CallbackInfo &info);
    Napi::Value Length(const Napi::CallbackInfo &info);
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Unmap(const Napi::CallbackInfo &info);
};

#endif
