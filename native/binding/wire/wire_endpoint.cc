// SPDX-License-Identifier: BSD-3-Clause
#ifdef __linux__
#include "binding/wire/wire_endpoint.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <new>
#include <utility>

#include "binding/environment/event_queue.h"
#include "binding/wire/host_address.h"
#include "binding/wire/udp_link.h"

namespace {

constexpr size_t kMostRefusals = 1024;
// Rounds of receiving and sending before the event loop gets its turn.
constexpr int kRounds = 16;
// Batches that a call of the program sends at once; the event loop sends the rest.
constexpr int kBatchesOfCall = 2;
// The same when an endpoint closes: room for a message to each connection that it can have.
constexpr int kBatchesOfEnd = RVT_CM_MOST_CONNECTIONS / RVT_MOST_PACKETS;
// A program that posts one work request at a time, many in one turn of the event loop, would pay a system call for each.
// So only the first calls of a turn send at once, then every so many do.
constexpr uint32_t kPromptCalls = 4, kCallsOfBatch = 16;

// How often a turn of the event loop may wait for a packet.
constexpr int kLingers = 4;

std::atomic<uint64_t> last_id{0};

uint64_t Now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

// Fails with what the system said.
int FailSocket(int error) {
    const auto value = static_cast<uint64_t>(error);
    switch (error) {
    case EADDRINUSE:
        return rvt_fail_value(RVT_EADDRINUSE, RVT_CAUSE_SOCKET, value, 0);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: // a kernel without IPv6
    case ENODEV:       // an unknown zone
        return rvt_fail_value(RVT_EADDRNOTAVAIL, RVT_CAUSE_SOCKET, value, 0);
    case EACCES:
    case EPERM:
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_SOCKET, value, 0);
    case EMFILE:
    case ENFILE:
        return rvt_fail_value(RVT_EMFILE, RVT_CAUSE_SOCKET, value, 0);
    case ENOMEM:
    case ENOBUFS:
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_SOCKET, value, 0);
    default: // a system that lacks an option
        return rvt_fail_value(RVT_EOPNOTSUPP, RVT_CAUSE_SOCKET, value, 0);
    }
}

// Reads what an eventfd or a timerfd counts. Returns whether it counted.
bool Drain(int fd) {
    uint64_t count;
    ssize_t got;
    do {
        got = read(fd, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
    return got > 0;
}

// Work of the endpoint on its environment's thread, outside of any call of JavaScript.
class LoopCall {
public:
    explicit LoopCall(OpenDevice &device) : device_(device), env_(device.environment().env()) {
        napi_open_handle_scope(env_, &scope_);
        device_.environment().NextCall();
        device_.environment().BeginLoopCall();
        rvt_set_thread_environment(&device_.environment());
    }
    ~LoopCall() {
        rvt_set_thread_environment(nullptr);
        rvt_failure none;
        rvt_take_failure(&none); // the program made no call
        device_.Settle();
        device_.environment().EndLoopCall(); // runs JavaScript
        if (scope_)
            napi_close_handle_scope(env_, scope_);
    }
    LoopCall(const LoopCall &) = delete;
    LoopCall &operator=(const LoopCall &) = delete;

private:
    OpenDevice &device_;
    napi_env env_;
    napi_handle_scope scope_ = nullptr;
};

} // namespace

// Room for one batch each way.
struct WireEndpoint::Buffers {
    static constexpr size_t kPacket = (RVT_MOST_PACKET_BYTES + 63) & ~63;
    rvt_datagram in[RVT_MOST_PACKETS];
    rvt_outgoing out[RVT_MOST_PACKETS];
    alignas(16) unsigned char bytes[RVT_MOST_PACKETS * kPacket];
};

// --- opening and closing ---

WireEndpoint::WireEndpoint(std::shared_ptr<OpenDevice> device, std::unique_ptr<Buffers> buffers)
    : DevicePort(std::move(device)), id_(++last_id), buffers_(std::move(buffers)) {
    for (uint32_t i = 0; i < RVT_MOST_PACKETS; i++)
        buffers_->out[i].bytes = buffers_->bytes + i * Buffers::kPacket;
}

WireEndpoint::~WireEndpoint() {
    CloseDescriptors();
}

std::shared_ptr<WireEndpoint> WireEndpoint::Open(const std::shared_ptr<OpenDevice> &device,
                                                 const Options &options, int *error) {
    *error = rvt_ucontext_live(device->context());
    if (*error)
        return nullptr;
    if (rvt_ucontext_restricted(device->context())) {
        *error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
        return nullptr;
    }
    if (!device->get()->lkey_table.random && !options.any_keys) {
        *error = rvt_fail(RVT_EINVAL, RVT_CAUSE_KEYS_FORESEEN);
        return nullptr;
    }
    std::unique_ptr<Buffers> buffers(new (std::nothrow) Buffers);
    std::shared_ptr<WireEndpoint> made(buffers ? new (std::nothrow) WireEndpoint(device, std::move(buffers))
                                               : nullptr);
    *error = made ? made->Start(options) : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    return *error ? nullptr : made;
}

int WireEndpoint::OpenLink(const Options &options) {
    if (!ReadHostAddress(options.address, address_, &scope_))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_HOST_ADDRESS);
    port_ = options.port;
    if (options.memory) {
        memory_ = new (std::nothrow) MemoryLink;
        link_.reset(memory_);
        return link_ ? 0 : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    }
    int error = 0;
    link_ = UdpLink::Open(address_, scope_, &port_, &error);
    return link_ ? 0 : FailSocket(error);
}

int WireEndpoint::OpenDescriptors() {
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (poll_ < 0 || timer_ < 0 || wake_ < 0)
        return FailSocket(errno);
    const int fds[] = {timer_, wake_, link_->descriptor()};
    for (int fd : fds) {
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (fd >= 0 && epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event) != 0)
            return FailSocket(errno);
    }
    return 0;
}

int WireEndpoint::Start(const Options &options) {
    int error = OpenLink(options);
    if (!error)
        error = OpenDescriptors();
    if (error)
        return error;
    Environment &environment = device().environment();
    if (!environment.BeWakeable() || !device().events())
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_endpoint_options open = {};
    open.device = device().get();
    std::memcpy(open.address, address_, sizeof(open.address));
    open.port = port_;
    open.refusals_a_minute = options.refusals;
    open.host.wake = OnWake;
    open.host.refused = OnRefused;
    open.host.cm_event = OnCmEvent;
    open.host.data = this;
    error = rvt_endpoint_open(&open, &endpoint_);
    if (error)
        return error;
    watcher_ = LoopWatcher::Start(environment.env(), poll_, options.by_thread, {OnReady, OnEnding, this});
    if (!watcher_) {
        rvt_endpoint_close(endpoint_);
        endpoint_ = nullptr;
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    }
    self_ = shared_from_this();
    Enter();
    return 0;
}

void WireEndpoint::Close() {
    if (!endpoint_)
        return;
    std::shared_ptr<WireEndpoint> self = std::move(self_);
    Leave(); // first, so that no other thread wakes it
    void *environment = rvt_thread_environment();
    rvt_set_thread_environment(&device().environment());
    HangUp();
    RefreshCounters();
    CountCm(last_cm_counters_);
    rvt_endpoint_close(std::exchange(endpoint_, nullptr));
    rvt_set_thread_environment(environment);
    std::exchange(watcher_, nullptr)->Close();
    link_.reset();
    memory_ = nullptr;
    buffers_.reset(); // now, not when JavaScript's object is collected
    CloseDescriptors();
    Tell();
}

// Tells the peers of connections that this end goes away, as far as the socket takes that now.
void WireEndpoint::HangUp() {
    if (!has_cm_)
        return;
    WithCm([](rvt_cm *cm, uint64_t now) {
        rvt_cm_hang_up(cm, now);
        return 0;
    });
    const uint64_t now = Now();
    for (int batch = 0; batch < kBatchesOfEnd && SendSome(now); batch++)
        ;
}

void WireEndpoint::CloseDescriptors() {
    for (int *fd : {&poll_, &timer_, &wake_})
        if (*fd >= 0)
            close(std::exchange(*fd, -1));
}

void WireEndpoint::OnEnding(void *data) {
    static_cast<WireEndpoint *>(data)->Close();
}

// --- what other threads call ---

void WireEndpoint::Kick() {
    const uint64_t one = 1;
    while (write(wake_, &one, sizeof(one)) < 0 && errno == EINTR) // EAGAIN: it is awake
        ;
    // Behind the write: if the loop comes before this, it comes again. The other way round it could take the mark
    // without the count, and would then be woken by the count for ever.
    kicked_.store(true, std::memory_order_release);
}

void WireEndpoint::DeviceClosed() {
    Kick();
}

// Called with the engine lock held, by any thread.
void WireEndpoint::OnWake(void *data) {
    auto *self = static_cast<WireEndpoint *>(data);
    self->output_.store(true, std::memory_order_release);
    Environment &environment = self->device().environment();
    // A call of this environment's own thread sends at its end. The event loop's work does not: it may be that of another
    // endpoint, or over but for what another thread has posted meanwhile.
    if (rvt_thread_environment() == &environment && environment.in_engine_call())
        environment.CallPorts();
    else
        self->Kick();
}

// Called with the engine lock held, on the endpoint's thread, because only that one receives and sends.
void WireEndpoint::OnRefused(void *data, const rvt_wire_refusal *refusal) {
    auto *self = static_cast<WireEndpoint *>(data);
    if (self->refusals_.size() < kMostRefusals)
        self->refusals_.push_back(*refusal);
    else
        self->unreported_++;
    self->Tell();
}

// Called with the engine lock held, by any thread.
void WireEndpoint::OnCmEvent(void *data) {
    static_cast<WireEndpoint *>(data)->Tell();
}

// Makes JavaScript look at the endpoint.
void WireEndpoint::Tell() {
    if (!told_.exchange(true))
        EventQueue::Report(RVT_EVENT_ENDPOINT, id_, device().events(), nullptr);
}

bool WireEndpoint::TakeRefusal(rvt_wire_refusal *refusal) {
    told_ = false;
    if (refusals_.empty())
        return false;
    *refusal = refusals_.front();
    refusals_.pop_front();
    return true;
}

// --- the loop ---

void WireEndpoint::OnReady(void *data) {
    std::shared_ptr<WireEndpoint> self = static_cast<WireEndpoint *>(data)->shared_from_this();
    LoopCall call(self->device());
    self->Work();
}

void WireEndpoint::Work() {
    if (!endpoint_)
        return;
    if (rvt_device_closed(device().get())) {
        Close();
        return;
    }
    uint64_t now = Now();
    // System calls only for what can have happened.
    if (kicked_.exchange(false, std::memory_order_acquire))
        Drain(wake_);
    if (timer_due_ <= now && Drain(timer_))
        timer_due_ = UINT64_MAX;
    calls_ = 0;
    if (blocked_)
        WatchWritable(false);
    blocked_ = false;
    bool more = true;
    received_ = 0;
    for (int round = 0; more && round < kRounds; round++) {
        more = Exchange(now);
        if (more)
            now = Now();
    }
    for (int i = 0; !more && lingers_ && i < kLingers && Linger(&now); i++)
        more = Exchange(now);
    // The turn is over. Packets that have arrived wake the loop again by themselves, those that wait to be sent do not.
    if (more && !blocked_)
        Kick();
    SetTimer(rvt_endpoint_tick(endpoint_, now));
}

bool WireEndpoint::Poll(uint32_t microseconds) {
    if (!endpoint_)
        return false;
    if (microseconds && !output_.load(std::memory_order_acquire)) {
        const uint64_t begin = Now(), end = begin + microseconds;
        const bool waits = patience_.Waits();
        const uint64_t awake = waits ? begin + Patience::kMicroseconds : begin;
        uint64_t now = begin;
        bool there = link_->Arrived();
        for (; !there && now < awake && now < end; now = Now())
            there = link_->Arrived();
        if (waits)
            patience_.Learn(there);
        if (!there && now < end) {
            // Also ends for the timer and for other threads.
            pollfd fd = {poll_, POLLIN, 0};
            const uint64_t rest = end - now;
            const timespec timeout = {static_cast<time_t>(rest / 1000000),
                                      static_cast<long>(rest % 1000000 * 1000)};
            ppoll(&fd, 1, &timeout, nullptr);
        }
    }
    lingers_ = false;
    Work();
    lingers_ = true;
    return received_ > 0;
}

// One round of receiving and sending. Returns whether there may be more to do.
bool WireEndpoint::Exchange(uint64_t now) {
    bool more = ReceiveSome(now);
    rvt_endpoint_tick(endpoint_, now);
    more |= SendSome(now);
    return more;
}

// Waits a little for a packet, if exactly one has come and was answered, and JavaScript has nothing to do. (An answer that was
// not followed by a request is for the program, which may look for its completion without an event.) Returns whether a packet
// may be there.
bool WireEndpoint::Linger(uint64_t *now) {
    if (received_ != 1 || filled_ == 0 || blocked_ || device().environment().has_events())
        return false;
    if (!patience_.Waits())
        return false;
    received_ = 0;
    const uint64_t end = *now + Patience::kMicroseconds;
    bool there;
    do {
        there = link_->Arrived();
        *now = Now();
    } while (!there && *now < end);
    patience_.Learn(there);
    return there;
}

// Takes one batch in. Returns whether there may be another one.
bool WireEndpoint::ReceiveSome(uint64_t now) {
    bool more = false;
    const uint32_t count = link_->Receive(buffers_->in, &more);
    received_ += count;
    if (count)
        rvt_endpoint_receive(endpoint_, buffers_->in, count, now);
    return more;
}

// Sends one batch. Returns whether there may be another one.
bool WireEndpoint::SendSome(uint64_t now) {
    if (blocked_)
        return false;
    bool full = first_ < filled_;
    if (!full) {
        output_.store(false, std::memory_order_relaxed);
        first_ = 0;
        filled_ = rvt_endpoint_send(endpoint_, buffers_->out, RVT_MOST_PACKETS, now);
        full = filled_ == RVT_MOST_PACKETS;
    }
    first_ += link_->Send(endpoint_, buffers_->out + first_, filled_ - first_);
    if (first_ < filled_) {
        blocked_ = true;
        WatchWritable(true);
        return false;
    }
    return full;
}

// The end of a call of the program: sends what the call has made ready.
void WireEndpoint::AfterCall() {
    if (!endpoint_ || !output_.load(std::memory_order_acquire))
        return;
    if (blocked_)
        return; // the loop goes on when the socket is writable
    calls_++;
    if (calls_ > kPromptCalls) {
        if (calls_ == kPromptCalls + 1)
            Kick(); // the loop sends what no later call sends
        if (calls_ % kCallsOfBatch != 0) {
            device().environment().CallPorts(); // count the next call, too
            return;
        }
    }
    const uint64_t now = Now();
    bool more = true;
    for (int batch = 0; more && batch < kBatchesOfCall; batch++)
        more = SendSome(now);
    if (more)
        Kick();
    SetTimer(rvt_endpoint_tick(endpoint_, now));
}

// Sets the timer unless it is set to an earlier time: then it is set again when it has fired.
void WireEndpoint::SetTimer(uint64_t due) {
    if (due >= timer_due_)
        return;
    itimerspec when = {};
    when.it_value.tv_sec = static_cast<time_t>(due / 1000000);
    when.it_value.tv_nsec = static_cast<long>(due % 1000000 * 1000) + 1; // not 0, which would stop it
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
    timer_due_ = due;
}

void WireEndpoint::WatchWritable(bool watch) {
    epoll_event event = {};
    event.events = watch ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.fd = link_->descriptor();
    epoll_ctl(poll_, EPOLL_CTL_MOD, event.data.fd, &event);
}

// --- the rest ---

std::string WireEndpoint::address() const {
    return HostAddressText(address_);
}

int WireEndpoint::Connect(rvt_qp_handle qp, const rvt_wire_peer &peer) {
    if (!endpoint_)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
    return rvt_endpoint_connect(endpoint_, qp, &peer, Now());
}

uint64_t WireEndpoint::Time() {
    return Now();
}

bool WireEndpoint::TakeCmEvent(rvt_cm_event *event) {
    if (!endpoint_ || !has_cm_)
        return false;
    told_ = false;
    bool there = false;
    WithCm([&](rvt_cm *cm, uint64_t) {
        there = rvt_cm_take_event(cm, event);
        return 0;
    });
    return there;
}

void WireEndpoint::CountCm(uint64_t counters[RVT_CM_COUNTER_COUNT]) {
    static_assert(sizeof(rvt_cm_counters) == RVT_CM_COUNTER_COUNT * sizeof(uint64_t) &&
                      offsetof(rvt_cm_counters, open) == RVT_CM_COUNTER_OPEN * sizeof(uint64_t),
                  "copied as they are");
    if (endpoint_ && has_cm_)
        WithCm([&](rvt_cm *cm, uint64_t) {
            rvt_cm_counters counts;
            rvt_cm_count(cm, &counts);
            std::memcpy(last_cm_counters_, &counts, sizeof(counts));
            return 0;
        });
    if (counters != last_cm_counters_)
        std::memcpy(counters, last_cm_counters_, sizeof(last_cm_counters_));
}

int WireEndpoint::Attach(rvt_qp_handle qp, uint32_t path_mtu) {
    if (!endpoint_)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
    return rvt_endpoint_attach(endpoint_, qp, path_mtu);
}

void WireEndpoint::Reference(bool keeps_alive) {
    if (watcher_)
        watcher_->Reference(keeps_alive);
}

void WireEndpoint::RefreshCounters() {
    static_assert(offsetof(rvt_endpoint_counters, limited) ==
                          RVT_ENDPOINT_COUNTER_LIMITED * sizeof(uint64_t) &&
                      offsetof(rvt_endpoint_counters, incomplete) ==
                          RVT_ENDPOINT_COUNTER_INCOMPLETE * sizeof(uint64_t) &&
                      sizeof(rvt_endpoint_counters) == RVT_ENDPOINT_COUNTER_TOO_LONG * sizeof(uint64_t),
                  "copied as they are");
    rvt_endpoint_counters counts;
    rvt_endpoint_count(endpoint_, &counts);
    std::memcpy(counters_, &counts, sizeof(counts));
    const rvt_udp_losses lost = link_->lost();
    counters_[RVT_ENDPOINT_COUNTER_TOO_LONG] = lost.too_long;
    counters_[RVT_ENDPOINT_COUNTER_UNSENT] = lost.unsent;
    counters_[RVT_ENDPOINT_COUNTER_UNREPORTED] = unreported_;
}

const uint64_t *WireEndpoint::counters() {
    if (endpoint_)
        RefreshCounters();
    return counters_;
}
#endif
