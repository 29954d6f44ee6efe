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
        if (queue->events_.size() >= kMost)
            return;
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
    return events;
}
