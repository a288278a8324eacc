"""What the driver says of GPUs, on a machine without one and with a library that answers as NVML would."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from flowmask.system.nvml import gpu_count, gpu_memory, gpu_name, own_memory
from tests.conftest import ROOT

# Types and constants as in NVIDIA's nvml.h; two GPUs, of which the second holds a process whose number it is told.
SOURCE = r"""
#include <stdlib.h>
#include <string.h>
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int pid; unsigned long long usedGpuMemory; unsigned int gi, ci; } nvmlProcessInfo_t;
typedef void *nvmlDevice_t;
static int open_;
int nvmlInit_v2(void) { open_++; return 0; }
int nvmlShutdown(void) { open_--; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 2; return open_ == 1 ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, nvmlDevice_t *d) {
    if (i > 1) return 2;
    *d = (nvmlDevice_t)(0xabcdef0000000000ull + i);
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *u, nvmlDevice_t *d) {
    return strcmp(u, "GPU-second") ? 6 : nvmlDeviceGetHandleByIndex_v2(1, d);
}
static int second(nvmlDevice_t d) { return (unsigned long long)d == 0xabcdef0000000001ull; }
int nvmlDeviceGetName(nvmlDevice_t d, char *name, unsigned int n) {
    strncpy(name, second(d) ? "NVIDIA Second" : "NVIDIA First", n);
    return 0;
}
int nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t *m) {
    m->total = 85899345920ull; m->used = second(d) ? 5000000000ull : 7; m->free = m->total - m->used;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t d, unsigned int *n, nvmlProcessInfo_t *p) {
    const char *pid = getenv("HOLDER"), *bytes = getenv("HELD");
    if (!second(d)) { *n = 0; return 0; }
    if (*n < 2) { *n = 2; return 7; }
    *n = 2;
    p[0] = (nvmlProcessInfo_t){ 1, 111, ~0u, ~0u };
    p[1] = (nvmlProcessInfo_t){ atoi(pid), strtoull(bytes, 0, 10), ~0u, ~0u };
    return 0;
}
"""
ASK = """
import json, os
from flowmask.system.nvml import gpu_count, gpu_memory, gpu_name, own_memory
os.environ["HOLDER"] = os.environ["HOLDER"] or str(os.getpid())
print(json.dumps([gpu_count()] + [[gpu_name(i), m and [m.free, m.used], own_memory(i)]
                                  for i in range(3) for m in [gpu_memory(i)]]))
"""
FIRST = ["NVIDIA First", [85899345913, 7], None]
SECOND = ["NVIDIA Second", [80899345920, 5000000000]]
ABSENT = [None, None, None]


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_a_machine_without_a_gpu():
    assert (gpu_count(), gpu_name(0), gpu_memory(0), own_memory(0)) == (0, None, None, None)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler to build the library that answers")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [2, FIRST, [*SECOND, 4200000000], ABSENT]),
        ({"HOLDER": "1234567"}, [2, FIRST, [*SECOND, None], ABSENT]),
        ({"HELD": str(2**64 - 1)}, [2, FIRST, [*SECOND, None], ABSENT]),
        ({"CUDA_VISIBLE_DEVICES": "1,0"}, [2, [*SECOND, 4200000000], FIRST, ABSENT]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-second"}, [1, [*SECOND, 4200000000], ABSENT, ABSENT]),
        ({"CUDA_VISIBLE_DEVICES": "0,5,1"}, [1, FIRST, ABSENT, ABSENT]),
        ({"CUDA_VISIBLE_DEVICES": ""}, [0, ABSENT, ABSENT, ABSENT]),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(library, environment, expected):
    environment = {"HOLDER": "", "HELD": "4200000000", "LD_LIBRARY_PATH": str(library), **environment}
    others = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env={**others, **environment}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == expected
