// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/event_queue.h"

#include "binding/environment/environment.h"

void EventQueue::Report(rvt_event_kind kind, uint64_t object, void *user, void *) {
    auto *queue = static_cast<EventQueue *>(user);
    if (!queue)
        return; // created by a C program
    bool first;
    {
        std::lock_guard<std::mutex> lock(queue->mutex_);
        const bool timer = kind == RVT_EVENT_TIMER;
        if (timer && queue->has_timer_)
            return; // one is enough: it makes JavaScript look at all timers
        if (!timer && kind != RVT_EVENT_COMPLETION && queue->events_.size() >= kMost)
            return;
        queue->has_timer_ = queue->has_timer_ || timer;
        first = queue->events_.empty();
        queue->events_.push_back({kind, object});
    }
    if (first)
        queue->environment_.NoteEvents();
}

std::vector<EventQueue::Event> EventQueue::Take() {
    std::vector<Event> events;
    std::lock_guard<std::mutex> lock(mutex_);
    events.swap(events_);
    has_timer_ = false;
    return events;
}
