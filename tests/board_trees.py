"""Small /proc and /sys trees in the shape of real machines.

None was copied from a board we had; each says what its shape is taken from. Values are made up but
of the right size. L4T documents: docs.nvidia.com/jetson, "Platform Power and Performance".
"""

from pathlib import Path

PROCESS = {
    "proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  5000000 kB\n",
    "proc/self/status": "Name:\tpython\nVmHWM:\t  150000 kB\nVmRSS:\t  100000 kB\n",
    "proc/self/smaps_rollup": "00-ff ---p 00000000 00:00 0  [rollup]\nRss: 9 kB\nPss:  90000 kB\n",
}
NVMAP = PROCESS | {
    # The nvgpu stack's extra line; absent on Thor (jetson_stats issue 849).
    "proc/meminfo": PROCESS["proc/meminfo"] + "NvMapMemUsed:  300000 kB\n",
}


def ina3221(device: str, hwmon: str, rails: list[tuple[str, int, int]]) -> dict[str, str]:
    """Three rails of (label, mV, mA), as the kernel's Documentation/hwmon/ina3221.rst has them."""
    base = f"sys/bus/i2c/devices/{device}"
    files = {f"{base}/name": "ina3221\n"}
    for i, (label, millivolt, milliampere) in enumerate(rails, 1):
        files |= {
            f"{base}/hwmon/{hwmon}/in{i}_label": f"{label}\n",
            f"{base}/hwmon/{hwmon}/in{i}_input": f"{millivolt}\n",
            f"{base}/hwmon/{hwmon}/curr{i}_input": f"{milliampere}\n",
        }
    return files | {
        f"{base}/hwmon/{hwmon}/in7_label": "sum of shunt voltages\n",
        f"{base}/hwmon/{hwmon}/in7_input": "120\n",
    }


def zones(*pairs: tuple[str, str]) -> dict[str, str]:
    files = {}
    for i, (kind, millidegrees) in enumerate(pairs):
        base = f"sys/devices/virtual/thermal/thermal_zone{i}"
        files |= {f"{base}/type": f"{kind}\n", f"{base}/temp": f"{millidegrees}\n"}
    return files


def gpu(name: str, node: str, hz: int, load: int | None, limits: tuple[int, int]) -> dict[str, str]:
    base = f"sys/class/devfreq/{name}"
    files = {
        f"{base}/cur_freq": f"{hz}\n",
        f"{base}/min_freq": f"{limits[0]}\n",
        f"{base}/max_freq": f"{limits[1]}\n",
        f"{base}/device/of_node/name": f"{node}\0",
    }
    return files if load is None else files | {f"{base}/device/load": f"{load}\n"}


def cpus(*clocks_khz: int) -> dict[str, str]:
    files = {}
    for i, khz in enumerate(clocks_khz):
        base = f"sys/devices/system/cpu/cpu{i}/cpufreq"
        files |= {f"{base}/scaling_cur_freq": f"{khz}\n", f"{base}/scaling_max_freq": "2000000\n"}
    return files


def over_current(hwmon: str, counts: tuple[int, int, int]) -> dict[str, str]:
    """The soctherm_oc device of Orin and Thor: the t234-oc-event driver of L4T's kernel."""
    base = f"sys/class/hwmon/{hwmon}"
    files = {f"{base}/name": "soctherm_oc\n"}
    return files | {f"{base}/oc{i}_event_cnt": f"{n}\n" for i, n in enumerate(counts, 1)}


def cooling(*pairs: tuple[str, int]) -> dict[str, str]:
    files = {}
    for i, (kind, state) in enumerate(pairs):
        base = f"sys/class/thermal/cooling_device{i}"
        files |= {f"{base}/type": f"{kind}\n", f"{base}/cur_state": f"{state}\n"}
    return files


MODES_CONF = """\
# comment
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=7W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=0 >
"""

# JetPack 4 on Nano: the ina3221x driver's iio files (L4T r32 guide, "Power Management for Jetson
# Nano"), status with a fan mode behind it.
_IIO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
NANO = {
    **NVMAP,
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t210ref\n",
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >\n",
    f"{_IIO}/rail_name_0": "POM_5V_IN\n",
    f"{_IIO}/in_power0_input": "4200\n",
    f"{_IIO}/rail_name_1": "POM_5V_GPU\n",
    f"{_IIO}/in_power1_input": "1100\n",
    f"{_IIO}/rail_name_2": "POM_5V_CPU\n",
    f"{_IIO}/in_power2_input": "900\n",
    **zones(("AO-therm", "41500"), ("CPU-therm", "36000"), ("GPU-therm", "34500"),
            ("PMIC-Die", "100000")),
    **gpu("57000000.gpu", "gpu", 921600000, 654, (76800000, 921600000)),
    **cpus(1479000, 1479000),
    **cooling(("gpu-balanced", 0), ("pwm-fan", 2), ("cpu-throttle-alert", 0)),
}  # fmt: skip

# AGX Xavier on JetPack 5: six rails on two chips and no rail of the input (L4T r35 guide).
XAVIER = {
    **NVMAP,
    "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref\n",
    "proc/device-tree/model": "Jetson-AGX\0",
    "var/lib/nvpmodel/status": "pmode:0003\n",
    **ina3221("1-0040", "hwmon3", [("GPU", 19000, 100), ("CPU", 19000, 80), ("SOC", 19000, 120)]),
    **ina3221("1-0041", "hwmon4", [("CV", 19000, 10), ("VDDRQ", 19000, 40), ("SYS5V", 5000, 400)]),
    **zones(("CPU-therm", "38000"), ("GPU-therm", "37500"), ("Tboard_tegra", "35000")),
    **gpu("17000000.gv11b", "gv11b", 1377000000, 0, (114750000, 1377000000)),
    **cpus(2265600),
}

# Orin Nano on JetPack 6: VDD_IN is the whole module (L4T r36 guide); a gated block's zone.
ORIN_NANO = {
    **NVMAP,
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": MODES_CONF,
    **ina3221(
        "1-0040",
        "hwmon1",
        [("VDD_IN", 5000, 1200), ("VDD_CPU_GPU_CV", 5000, 400), ("VDD_SOC", 5000, 300)],
    ),
    **zones(("cpu-thermal", "49000"), ("gpu-thermal", "-256000"), ("cv0-thermal", ""),
            ("tj-thermal", "51250")),
    **gpu("17000000.gpu", "gpu", 624750000, 437, (624750000, 624750000)),
    **cpus(1510400, 1344000),
    **over_current("hwmon3", (0, 15, 37)),
    **cooling(("pwm-fan", 3), ("cpu-throttle-alert", 0), ("devfreq-17000000.gpu", 0)),
    "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
    "sys/kernel/debug/nvmap/iovmm/clients": (
        "CLIENT                        PROCESS      PID        SIZE\n"
        "user                          python3     4711     204800K\n"
        "user                           weston      900      10240K\n"
        "total                                              215040K\n"
    ),
}  # fmt: skip

# AGX Orin on JetPack 6: four rails on two chips, channels not connected, no input rail
# (tegra234-p3701 device tree; L4T r36 guide).
AGX_ORIN = {
    **NVMAP,
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0, GCID: 1, BOARD: generic\n",
    "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    **ina3221(
        "1-0040",
        "hwmon3",
        [("VDD_GPU_SOC", 19000, 200), ("VDD_CPU_CV", 19000, 100), ("VIN_SYS_5V0", 5000, 900)],
    ),
    **ina3221("1-0041", "hwmon4", [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 200), ("NC", 0, 0)]),
    **zones(("CPU-therm", "55000"), ("tj-therm", "56000")),
    **gpu("17000000.ga10b", "ga10b", 1300500000, 991, (306000000, 1300500000)),
    **cpus(2201600),
    **over_current("hwmon5", (0, 0, 0)),
    **cooling(("cpu-throttle-alert", 1), ("hot-surface-alert", 0)),
}

# AGX Thor on JetPack 7: an INA238 measures VIN and the INA3221 three rails (L4T r38 guide, "Jetson
# Thor"; NVIDIA forum 366461); GPU clock under gpu-gpc-0 without a load file; no NvMapMemUsed.
THOR = {
    **PROCESS,
    "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic\n",
    "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    **ina3221(
        "1-0040",
        "hwmon2",
        [("VDD_GPU", 19000, 500), ("VDD_CPU_SOC_MSS", 19000, 300), ("VIN_SYS_5V0", 5000, 1000)],
    ),
    "sys/bus/i2c/devices/1-0044/name": "ina238\n",
    "sys/bus/i2c/devices/1-0044/hwmon/hwmon4/in1_label": "VIN\n",
    "sys/bus/i2c/devices/1-0044/hwmon/hwmon4/in1_input": "19000\n",
    "sys/bus/i2c/devices/1-0044/hwmon/hwmon4/power1_input": "31500000\n",
    **zones(("tj-thermal", "55100"), ("cpu-thermal", "53700"), ("gpu-thermal", "")),
    **gpu("gpu-gpc-0", "", 1575000000, None, (315000000, 1575000000)),
    **gpu("gpu-nvd-0", "", 800000000, None, (315000000, 1575000000)),
    "sys/class/devfreq/bwmgr/cur_freq": "4266000000\n",
    **cpus(2601000),
    **over_current("hwmon6", (0, 8, 813)),
}

# A PC: RAPL as Documentation/power/powercap names it, package and its DRAM, cores inside the
# package; two zones of one name; Intel's throttle counter.
PC = {
    **PROCESS,
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Example CPU 3000\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "100000000\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "700000\n",
    "sys/class/powercap/intel-rapl:0:1/name": "dram\n",
    "sys/class/powercap/intel-rapl:0:1/energy_uj": "500000\n",
    "sys/class/powercap/intel-rapl:0:1/max_energy_range_uj": "100000000\n",
    **zones(("acpitz", "30000"), ("acpitz", "27800"), ("x86_pkg_temp", "44000")),
    **cpus(3400000, 800000),
    **cooling(("Processor", 0), ("intel_powerclamp", -1), ("TCC Offset", 10)),
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "5\n",
}

BOARDS = {
    "nano": NANO,
    "xavier": XAVIER,
    "orin-nano": ORIN_NANO,
    "agx-orin": AGX_ORIN,
    "thor": THOR,
    "pc": PC,
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write the files below `root` and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
