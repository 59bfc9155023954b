#!/bin/sh
# Install edgeseg on a Jetson beside JetPack's own TensorRT and OpenCV. Not yet run on a Jetson.
#
#   sudo apt-get install python3-venv python3-libnvinfer python3-opencv
#   sh deploy/install.sh [FOLDER]      default /opt/edgeseg
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-/opt/edgeseg}

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "install.sh: python3 is older than 3.10; JetPack 6 or later is needed" >&2
    exit 5
fi
for module in tensorrt cv2; do
    if ! python3 -c "import $module" 2>/dev/null; then
        echo "install.sh: python3 has no $module; install JetPack's package first" >&2
        exit 5
    fi
done

# --system-site-packages: TensorRT and the OpenCV that knows GStreamer exist only as system packages.
python3 -m venv --system-site-packages "$target/venv"
"$target/venv/bin/python" -m pip install --quiet "$here[cuda]"
mkdir -p "$target/bundles"
if [ ! -e "$target/edgeseg.env" ]; then
    cp "$here/deploy/edgeseg.env" "$target/edgeseg.env"
fi
"$target/venv/bin/edgeseg" doctor || true
echo "installed in $target; for a service: cp deploy/edgeseg.service /etc/systemd/system/"
