"""Write an INT8 SegNet whose arithmetic float32 holds exactly: python exact_bundle.py OUT.

Runtimes add up convolutions in different orders and round activations that lie between two steps
differently, so on two processors a trained network's labels differ in a few pixels. Here every
scale is a power of two and every weight a multiple of its step: sums have one value in any order,
and two right machines must agree to the bit, max-pooling and un-pooling included.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from trained_nets import calibrated, dyadic, spec_of, trained

from edgeseg.core.bundle import write_bundle
from edgeseg.host.export.export import OPSET, deployed, export_onnx
from edgeseg.host.export.golden import golden_pair

SIZE_HW = (75, 101)


def main(out: str) -> None:
    """Train for a few steps, calibrate, move everything to the grid, and export."""
    spec = spec_of("segnet-basic", SIZE_HW)
    net = dyadic(calibrated(spec, trained(spec)))
    write_bundle(
        Path(out),
        export_onnx(spec, net, "int8"),
        golden_pair(spec, deployed(spec, net, "int8")),
        name="exact",
        spec=spec,
        precision="int8",
        opset=OPSET,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
