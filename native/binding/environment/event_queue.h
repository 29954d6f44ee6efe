// SPDX-License-Identifier: BSD-3-Clause
// The events that the engine has reported for one environment's objects on one device, until JavaScript takes
// them. Any thread that calls the core may report one.
#ifndef RDMAVT_EVENT_QUEUE_H
#define RDMAVT_EVENT_QUEUE_H

#include <mutex>
#include <vector>

#include "core/rvt.h"

class Environment;

class EventQueue {
public:
    struct Event {
        rvt_event_kind kind;
        uint64_t object; // serial number
    };

    explicit EventQueue(Environment &environment) : environment_(environment) {}
    EventQueue(const EventQueue &) = delete;
    EventQueue &operator=(const EventQueue &) = delete;

    // Called by the engine with its lock held: rvt_engine_host.event, whose `user` is the queue of the object's
    // environment. Wakes that environment for the first event.
    static void Report(rvt_event_kind kind, uint64_t object, void *user, void *data);

    // Returns the events so far, and forgets them. Called on the environment's thread.
    std::vector<Event> Take();

private:
    // The most events of one kind that are kept, so that a program that never takes its events does not use up
    // the memory. A further event is dropped. Completion and timer events are never dropped, because promises
    // and RNR timers depend on them: there is at most one of each object until JavaScript has seen it.
    static constexpr uint32_t kMost = 1 << 16;

    Environment &environment_;
    std::mutex mutex_;
    // Protected by the mutex:
    std::vector<Event> events_;
    uint32_t cq_errors_ = 0, others_ = 0; // how many of events_ are of the kinds that can be dropped
};

#endif
