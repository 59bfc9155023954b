/* A CUDA driver that knows one GPU, or as many as EDGESEG_DOUBLE_GPUS says: enough for find_gpu. */
#include <stdlib.h>
#include <string.h>

int cuInit(unsigned flags) {
    const char *status = getenv("EDGESEG_DOUBLE_CUINIT");
    return status ? atoi(status) : 0;
}
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGetCount(int *count) {
    const char *given = getenv("EDGESEG_DOUBLE_GPUS");
    *count = given ? atoi(given) : 1;
    return 0;
}
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    const char *given = getenv("EDGESEG_DOUBLE_GPU");
    strncpy(name, given ? given : "Orin", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
    return 0;
}
