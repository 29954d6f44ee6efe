// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_DEVICE_H
#define RDMAVT_BINDING_DEVICE_H

#include "binding/values/wrapper.h"

struct DevicePayload {
    std::shared_ptr<OpenDevice> device;
};

class Device : public Wrapper<Device, DevicePayload, kDevice> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    // openDevice(lkeyTableBits, randomKeys, remoteKeyZero, manual, limits): opens a device.
    static Napi::Value Open(const Napi::CallbackInfo &info);
    // attachDevice(token): attaches to a shared device.
    static Napi::Value Attach(const Napi::CallbackInfo &info);

private:
    static Napi::Value Use(Napi::Env env, rvt_dev_info *device, uint64_t only_pd, bool opened);
    Napi::Value Bits(const Napi::CallbackInfo &info);
    Napi::Value Close(const Napi::CallbackInfo &info);
    Napi::Value AllocPd(const Napi::CallbackInfo &info);
    Napi::Value MapDma(const Napi::CallbackInfo &info);
    Napi::Value KeyTable(const Napi::CallbackInfo &info);
    Napi::Value KeySlots(const Napi::CallbackInfo &info);
    Napi::Value Number(const Napi::CallbackInfo &info);
    Napi::Value Live(const Napi::CallbackInfo &info);
    Napi::Value Context(const Napi::CallbackInfo &info);
    Napi::Value OnlyPd(const Napi::CallbackInfo &info);
    Napi::Value Detach(const Napi::CallbackInfo &info);
    Napi::Value Share(const Napi::CallbackInfo &info);
    Napi::Value ImportPd(const Napi::CallbackInfo &info);
    Napi::Value AllocDm(const Napi::CallbackInfo &info);
    Napi::Value ImportDm(const Napi::CallbackInfo &info);
    Napi::Value Counters(const Napi::CallbackInfo &info);
    Napi::Value Resources(const Napi::CallbackInfo &info);
    Napi::Value ReportLeaks(const Napi::CallbackInfo &info);
    Napi::Value IsManual(const Napi::CallbackInfo &info);
    Napi::Value Limits(const Napi::CallbackInfo &info);
    Napi::Value CreateCq(const Napi::CallbackInfo &info);
    Napi::Value Run(const Napi::CallbackInfo &info);
    Napi::Value FireTimers(const Napi::CallbackInfo &info);
    Napi::Value Progress(const Napi::CallbackInfo &info);
    Napi::Value TakeEvents(const Napi::CallbackInfo &info);
    Napi::Value RkeyMask(const Napi::CallbackInfo &info);
    Napi::Value Faults(const Napi::CallbackInfo &info);
    Napi::Value CompletionCounts(const Napi::CallbackInfo &info);
};

#endif
