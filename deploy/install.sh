#!/bin/sh
# Install edgeseg on a Jetson beside JetPack's own TensorRT and OpenCV. Not yet run on a Jetson.
#
#   sudo apt-get install python3-venv python3-libnvinfer python3-opencv \
#       python3-gi gir1.2-gstreamer-1.0
#   sudo sh deploy/install.sh [FOLDER]      default /opt/edgeseg
set -eu
# Python runs isolated (-I) throughout: this runs as root, and -c or -m alone would first look for
# modules in whatever folder one stands in.

here=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-/opt/edgeseg}
# A unit takes whole paths alone.
case $target in
/*) ;;
*) target=$PWD/$target ;;
esac

if ! python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "install.sh: python3 is older than 3.10; JetPack 6 or later is needed" >&2
    exit 5
fi
# ensurepip comes with python3-venv; venv itself is always there.
for module in tensorrt cv2 ensurepip; do
    if ! python3 -I -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)"; then
        echo "install.sh: python3 has no $module; first:" >&2
        echo "  sudo apt-get install python3-venv python3-libnvinfer python3-opencv python3-gi gir1.2-gstreamer-1.0" >&2
        exit 5
    fi
done
before=$(python3 -I -c 'import cv2; print(cv2.__file__)')

# --system-site-packages: TensorRT and the OpenCV that knows GStreamer exist only as system packages.
python3 -I -m venv --system-site-packages "$target/venv"
# JetPack's OpenCV is built for the numpy of its own Python: keep that one, and let no wheel shadow
# either of them.
numpy=$(python3 -I -c 'import numpy; print(numpy.__version__)')
held="$target/venv/held.txt"
echo "numpy==$numpy" > "$held"
if ! "$target/venv/bin/python" -I -m pip install --quiet -c "$held" "${here}[tensorrt]"; then
    echo "install.sh: edgeseg does not run with the system's numpy $numpy; installing its own," >&2
    echo "install.sh: and trying whether JetPack's OpenCV loads with it" >&2
    echo 'numpy>=1.26,<2' > "$held"
    "$target/venv/bin/python" -I -m pip install --quiet -c "$held" "${here}[tensorrt]"
fi
after=$("$target/venv/bin/python" -I -c 'import cv2; print(cv2.__file__)') || {
    echo "install.sh: JetPack's OpenCV does not load in $target/venv" >&2
    exit 5
}
if [ "$before" != "$after" ]; then
    echo "install.sh: $after hides JetPack's $before; pip uninstall the opencv wheel" >&2
    exit 5
fi
mkdir -p "$target/bundles"
if [ ! -e "$target/edgeseg.env" ]; then
    # It may hold a camera's password; systemd reads it as root.
    (umask 077 && sed "s#/opt/edgeseg#$target#g" "$here/deploy/edgeseg.env" > "$target/edgeseg.env")
fi
# Both files that are written out here name the folder of this install.
sed "s#/opt/edgeseg#$target#g" "$here/deploy/edgeseg.service" > "$target/edgeseg.service"
case $target in
/home/*) echo "install.sh: the service cannot read $target: it sees no home (ProtectHome)" >&2 ;;
esac
"$target/venv/bin/edgeseg" doctor || true
echo "installed in $target; as a service:"
echo "  sudo useradd --system --groups video,render edgeseg"
echo "  sudo cp '$target/edgeseg.service' /etc/systemd/system/"
echo "  sudo systemctl enable --now edgeseg"
