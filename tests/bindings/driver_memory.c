/* The part of a CUDA driver that memory, streams, events and graphs need, in main memory: copies
 * happen at once. Every call outside a current context fails as the real one does, and what is
 * alive and pushed can be counted. Part of driver.c's library in tests of runtime/cuda. */
#include <stdlib.h>
#include <string.h>

enum { OK = 0, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400 };
enum { DEVICE, PINNED, STREAM, EVENT, RECORDED, GRAPH, KINDS };

static int alive[KINDS], retained;
static __thread int pushed;
static char the_context;

/* For the test: objects of a kind, retained primary contexts, and contexts on this thread. */
int double_alive(int kind) { return alive[kind]; }
int double_retained(void) { return retained; }
int double_pushed(void) { return pushed; }

#define NEED_CONTEXT if (!pushed || !retained) return INVALID_CONTEXT

static int make(int kind, void **handle, size_t size) {
    NEED_CONTEXT;
    *handle = calloc(1, size);
    ++alive[kind];
    return OK;
}
static int end(int kind, void *handle) {
    NEED_CONTEXT;
    if (!handle) return INVALID_HANDLE;
    free(handle);
    --alive[kind];
    return OK;
}

int cuGetErrorString(int status, const char **text) {
    *text = status == OUT_OF_MEMORY ? "out of memory" : "invalid";
    return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &the_context;
    ++retained;
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) { --retained; return OK; }
int cuCtxPushCurrent_v2(void *context) { ++pushed; return OK; }
int cuCtxPopCurrent_v2(void **context) {
    if (!pushed) return INVALID_CONTEXT;
    *context = &the_context;
    --pushed;
    return OK;
}
int cuCtxSetCurrent(void *context) {
    pushed = context == &the_context;
    return pushed ? OK : INVALID_CONTEXT;
}
int cuCtxGetDevice(int *device) { NEED_CONTEXT; *device = 0; return OK; }

int cuMemAlloc_v2(unsigned long long *address, size_t size) {
    NEED_CONTEXT;
    if (size >> 40) return OUT_OF_MEMORY;
    return make(DEVICE, (void **)address, size);
}
int cuMemFree_v2(unsigned long long address) { return end(DEVICE, (void *)address); }
int cuMemHostAlloc(void **memory, size_t size, unsigned flags) { return make(PINNED, memory, size); }
int cuMemFreeHost(void *memory) { return end(PINNED, memory); }

/* The flags are kept: 1 is a stream that does not wait for the default one. */
int cuStreamCreate(void **stream, unsigned flags) {
    const int status = make(STREAM, stream, sizeof flags);
    if (status == OK) memcpy(*stream, &flags, sizeof flags);
    return status;
}
int cuStreamDestroy_v2(void *stream) { return end(STREAM, stream); }
int double_stream_flags(void *stream) { return *(unsigned *)stream; }
int cuStreamSynchronize(void *stream) { NEED_CONTEXT; return stream ? OK : INVALID_HANDLE; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    NEED_CONTEXT;
    return stream && event ? OK : INVALID_HANDLE;
}
int cuEventCreate(void **event, unsigned flags) { return make(EVENT, event, 1); }
int cuEventDestroy_v2(void *event) { return end(EVENT, event); }
int cuEventRecord(void *event, void *stream) {
    NEED_CONTEXT;
    return stream && event ? OK : INVALID_HANDLE;
}
int cuEventSynchronize(void *event) { NEED_CONTEXT; return event ? OK : INVALID_HANDLE; }

/* While a stream records, its copies go into the graph and happen when that is launched. */
typedef struct { void *to; const void *from; size_t size; } Copy;
typedef struct { int count; Copy copies[8]; } Graph;
static Graph recording;
static void *recorder;

static int copy(void *to, const void *from, size_t size, void *stream) {
    NEED_CONTEXT;
    if (!stream) return INVALID_HANDLE;
    if (stream == recorder) recording.copies[recording.count++] = (Copy){to, from, size};
    else memcpy(to, from, size);
    return OK;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream) {
    return copy((void *)to, from, size, stream);
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream) {
    return copy(to, (const void *)from, size, stream);
}
int cuStreamBeginCapture_v2(void *stream, int mode) {
    NEED_CONTEXT;
    if (!stream || mode != 1) return INVALID_HANDLE;
    recorder = stream;
    recording.count = 0;
    return OK;
}
int cuStreamEndCapture(void *stream, void **graph) {
    if (stream != recorder) return INVALID_HANDLE;
    recorder = 0;
    const int status = make(RECORDED, graph, sizeof recording);
    if (status == OK) memcpy(*graph, &recording, sizeof recording);
    return status;
}
int cuGraphInstantiateWithFlags(void **made, void *graph, unsigned long long flags) {
    const int status = make(GRAPH, made, sizeof recording);
    if (status == OK) memcpy(*made, graph, sizeof recording);
    return status;
}
int cuGraphDestroy(void *graph) { return end(RECORDED, graph); }
int cuGraphExecDestroy(void *graph) { return end(GRAPH, graph); }
int cuGraphLaunch(void *graph, void *stream) {
    NEED_CONTEXT;
    if (!stream) return INVALID_HANDLE;
    const Graph *given = graph;
    for (int i = 0; i < given->count; ++i)
        memcpy(given->copies[i].to, given->copies[i].from, given->copies[i].size);
    return OK;
}
