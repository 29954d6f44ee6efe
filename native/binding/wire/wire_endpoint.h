// SPDX-License-Identifier: BSD-3-Clause
// An endpoint of the wire with its link, driven by the event loop of the environment that opened it.
#ifndef RDMAVT_WIRE_ENDPOINT_H
#define RDMAVT_WIRE_ENDPOINT_H

#include <atomic>
#include <deque>
#include <memory>
#include <string>

#include "binding/environment/device_port.h"
#include "binding/environment/open_device.h"
#include "binding/wire/loop_watcher.h"
#include "binding/wire/memory_link.h"
#include "binding/wire/packet_link.h"
#include "binding/wire/patience.h"
#include "binding/wire/transport.h"
#include "core/rvt.h"

// Used on its environment's thread, except where said. While it is open it keeps itself and its device.
class WireEndpoint : public DevicePort, public std::enable_shared_from_this<WireEndpoint> {
public:
    struct Options {
        std::string address;
        uint16_t port;
        uint32_t refusals;
        bool memory;    // without a socket
        bool by_thread; // do not use the event loop of libuv
        bool any_keys;  // open it although the device's keys can be foretold
    };

    // Opens an endpoint. Returns nullptr, and in *error a negative errno, on failure:
    //   -EBADF, -EPERM  the context has ended, or is restricted
    //   -EINVAL         the address names no host; the device's keys are sequential
    //   -ENOMEM, -EMFILE, -EACCES, -EADDRINUSE, -EADDRNOTAVAIL, -EOPNOTSUPP  as the system says
    static std::shared_ptr<WireEndpoint> Open(const std::shared_ptr<OpenDevice> &device,
                                              const Options &options, int *error);
    ~WireEndpoint() override;

    uint64_t id() const {
        return id_;
    }
    bool open() const {
        return endpoint_ != nullptr;
    }
    std::string address() const;
    uint16_t port() const {
        return port_;
    }
    // Connects a queue pair: rvt_endpoint_connect(), and -EBADF if the endpoint is closed.
    int Connect(rvt_qp_handle qp, const rvt_wire_peer &peer);
    // The same of a UD queue pair: rvt_endpoint_attach().
    int Attach(rvt_qp_handle qp, uint32_t path_mtu);
    void Reference(bool keeps_alive);
    // The connection manager of an open endpoint: calls it under the engine lock, with the time. Returns what `call` returns,
    // or -EBADF, -ENOMEM. wire/cm/cm.h has the errors of its functions.
    template <typename Call> int WithCm(Call call) {
        if (!endpoint_)
            return rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
        rvt_cm *cm;
        int error = rvt_endpoint_enter_cm(endpoint_, &cm);
        has_cm_ = error == 0;
        if (!error)
            error = call(cm, Time());
        rvt_endpoint_leave_cm(endpoint_);
        return error;
    }
    bool SameFamily(const uint8_t address[16]) const {
        return rvt_is_ipv4(address) == rvt_is_ipv4(address_);
    }
    // Takes the oldest event of the connection manager. Returns false if there is none.
    bool TakeCmEvent(rvt_cm_event *event);
    // Reads enum rvt_cm_counter; those of a closed endpoint stay as they were last.
    void CountCm(uint64_t counters[RVT_CM_COUNTER_COUNT]);
    // Returns the counters, in the order of enum rvt_endpoint_counter. After Close() they are those of that moment.
    const uint64_t *counters();
    // Takes the oldest refusal. Returns false if there is none.
    bool TakeRefusal(rvt_wire_refusal *refusal);

    // The link without a socket; nullptr: it has one.
    MemoryLink *memory() const {
        return memory_;
    }
    // Works on what has arrived.
    void Work();

    // Works on what has arrived, for a program that does not want to wait for the event loop. If nothing has, waits up to
    // `microseconds` for a packet first. Returns whether packets were received.
    bool Poll(uint32_t microseconds);

    void AfterCall() override;
    void Close() override;
    void DeviceClosed() override;

private:
    struct Buffers;

    WireEndpoint(std::shared_ptr<OpenDevice> device, std::unique_ptr<Buffers> buffers);
    int OpenLink(const Options &options);
    int OpenDescriptors();
    int Start(const Options &options);
    static void OnWake(void *data);
    static void OnRefused(void *data, const rvt_wire_refusal *refusal);
    static void OnCmEvent(void *data);
    static uint64_t Time();
    void HangUp();
    static void OnReady(void *data);
    static void OnEnding(void *data);
    void Kick();
    void Tell();
    bool Exchange(uint64_t now);
    bool Linger(uint64_t *now);
    void RefreshCounters();
    bool ReceiveSome(uint64_t now);
    bool SendSome(uint64_t now);
    void SetTimer(uint64_t due);
    void WatchWritable(bool watch);
    void CloseDescriptors();

    const uint64_t id_;
    std::unique_ptr<Buffers> buffers_; // until it is closed
    rvt_endpoint *endpoint_ = nullptr;
    std::unique_ptr<PacketLink> link_;
    MemoryLink *memory_ = nullptr;
    LoopWatcher *watcher_ = nullptr;
    std::shared_ptr<WireEndpoint> self_; // set while it is open
    uint8_t address_[16];
    uint32_t scope_ = 0;
    uint16_t port_ = 0;
    // One descriptor for the event loop: the socket, a timer and what wakes from other threads.
    int poll_ = -1, timer_ = -1, wake_ = -1;
    uint64_t timer_due_ = UINT64_MAX;
    uint32_t received_ = 0; // packets, in the present exchange
    bool lingers_ = true;   // Work() may wait for a packet
    Patience patience_;
    uint32_t calls_ = 0;              // calls since the event loop last came here
    std::atomic<bool> kicked_{false}; // wake_ has counted
    std::atomic<bool> output_{false}; // there may be packets to send
    bool blocked_ = false;            // the socket has no room: wait until it is writable
    uint32_t first_ = 0, filled_ = 0; // packets of buffers_ that are not sent yet
    std::deque<rvt_wire_refusal> refusals_;
    uint64_t unreported_ = 0;
    std::atomic<bool> told_{false}; // JavaScript was told and has not looked since
    bool has_cm_ = false;           // the connection manager was used
    uint64_t last_cm_counters_[RVT_CM_COUNTER_COUNT] = {};
    uint64_t counters_[RVT_ENDPOINT_COUNTER_COUNT] =
        {}; // of the last look, or of the moment when it was closed
};

#endif
