#!/bin/sh
# make test-aarch64: the wheel's target side in a Debian arm64 root under qemu-user.
#
# It makes the root once, installs the wheel with its target extras there from aarch64 wheels, runs
# verify, eval on 5 frames and stream on the synthetic drive with ONNX Runtime, here and there, and
# compares the labels: of an exact network (exact_bundle.py), of the shipped one with sums of whole
# numbers (summed_bundle.py), and of the shipped one as it is. Needs Debian's mmdebstrap and
# qemu-user-static, and root for chroot.
#
#   EDGESEG_AARCH64_CACHE   where root and wheels lie; default ~/.cache/edgeseg-tests/aarch64
#   PYTHON                  this machine's Python with edgeseg; default .venv/bin/python
set -eu

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
cache=${EDGESEG_AARCH64_CACHE:-$HOME/.cache/edgeseg-tests/aarch64}
python=${PYTHON:-$project/.venv/bin/python}
root=$cache/root
PACKAGES=python3,python3-venv
# The Python that Debian 12 has, and the tags its aarch64 wheels carry; pip matches them exactly.
SUITE=bookworm
PYTHON_VERSION=3.11
TAGS="manylinux2014_aarch64 manylinux_2_17_aarch64 manylinux_2_26_aarch64 manylinux_2_27_aarch64
    manylinux_2_28_aarch64 manylinux_2_31_aarch64"
MAGIC='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

fail() {
    echo "test-aarch64: $1" >&2
    exit 5
}

say() {
    echo "test-aarch64: $1" >&2
}

# Everything that mounts or changes root happens in a mount namespace of its own.
if [ "${1:-}" != inside ]; then
    [ "$(uname -s)" = Linux ] || fail "this is $(uname -s), chroot and binfmt_misc need Linux"
    [ "$(id -u)" = 0 ] || fail "chroot needs root; sudo make test-aarch64"
    for tool in mmdebstrap unshare chroot; do
        command -v "$tool" > /dev/null ||
            fail "no $tool here; apt-get install mmdebstrap util-linux"
    done
    exec unshare --mount --propagation private "$0" inside
fi

# A binary of another architecture starts its emulator: binfmt_misc, with the emulator opened now
# (F), so that the root needs no copy of it.
if [ "$(uname -m)" != aarch64 ]; then
    emulator=
    for path in /usr/libexec/qemu-binfmt/aarch64-binfmt-P /usr/bin/qemu-aarch64-static; do
        [ ! -x "$path" ] || { emulator=$path; break; }
    done
    [ -n "$emulator" ] || fail "no emulator of aarch64 here; apt-get install qemu-user-static"
    binfmt=/proc/sys/fs/binfmt_misc
    [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt" ||
        fail "binfmt_misc cannot be mounted; the kernel lacks it, or this is a container without rights"
    flags=OCF
    [ "$emulator" = /usr/bin/qemu-aarch64-static ] || flags=OCPF
    [ -e "$binfmt/qemu-aarch64" ] ||
        printf '%s' ":qemu-aarch64:M::$MAGIC:$MASK:$emulator:$flags" > "$binfmt/register" ||
        fail "the kernel refuses to register $emulator for aarch64"
fi

mkdir -p "$cache"
if [ ! -e "$root/etc/debian_version" ]; then
    say "making a Debian $SUITE arm64 root in $root, which takes minutes"
    rm -rf "$root" "$root.part"
    # This machine's own sources where it is the same Debian: a mirror near it, and no other.
    sources=
    if [ -e /etc/os-release ] && [ "$(. /etc/os-release; echo "${VERSION_CODENAME:-}")" = "$SUITE" ]; then
        sources=/etc/apt/sources.list.d/debian.sources
        [ -e "$sources" ] || sources=/etc/apt/sources.list
    fi
    mmdebstrap --mode=root --architectures=arm64 --variant=minbase --include="$PACKAGES" \
        --skip=check/qemu "$SUITE" "$root.part" $sources >&2 ||
        fail "mmdebstrap could not make the root; its last lines above say why"
    mv "$root.part" "$root"
fi
# Not /sys: under qemu-user ONNX Runtime reads this machine's processors there and crashes.
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"

wheels=$root/opt/wheels
say "building the wheel"
mkdir -p "$wheels"
rm -f "$wheels"/edgeseg-*.whl
"$python" -m build --wheel --no-isolation --outdir "$wheels" "$project" > "$cache/build.log" 2>&1 ||
    fail "the wheel cannot be built; see $cache/build.log"
wheel=$(basename "$wheels"/edgeseg-*.whl)
# The wheels of what it needs are fetched again when what it asks for has changed.
asked=$(cat "$project/pyproject.toml" "$project/constraints.txt" | sha256sum)
if [ ! -e "$wheels/asked" ] || [ "$(cat "$wheels/asked")" != "$asked" ]; then
    say "fetching aarch64 wheels for Python $PYTHON_VERSION"
    set --
    for tag in $TAGS; do
        set -- "$@" --platform "$tag"
    done
    "$python" -m pip download --quiet --disable-pip-version-check --dest "$wheels" \
        -c "$project/constraints.txt" --only-binary=:all: --implementation cp \
        --python-version "$PYTHON_VERSION" "$@" "$wheels/${wheel}[cv,onnxruntime]" >&2 ||
        fail "pip cannot fetch aarch64 wheels of what edgeseg[cv,onnxruntime] needs"
    printf '%s' "$asked" > "$wheels/asked"
fi

board() {
    chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 \
        OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$@"
}

say "installing ${wheel}[cv,onnxruntime] in the root"
[ -x "$root/opt/edgeseg/bin/python" ] || board python3 -m venv /opt/edgeseg >&2
board /opt/edgeseg/bin/pip install --quiet --no-index --find-links /opt/wheels \
    --disable-pip-version-check "edgeseg[cv,onnxruntime]" >&2
board /opt/edgeseg/bin/pip install --quiet --no-index --force-reinstall --no-deps \
    --disable-pip-version-check "/opt/wheels/$wheel" >&2

rm -rf "$root/opt/run" "$cache/here"
mkdir -p "$root/opt/run" "$cache/here/exact" "$cache/here/summed" "$cache/here/shipped"
one_thread() {
    env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$@"
}
say "making the two exact networks"
one_thread "$python" "$here/exact_bundle.py" "$cache/here/exact/bundle" >&2 ||
    fail "the exact network cannot be made here; it needs edgeseg[host]"
one_thread "$python" "$here/summed_bundle.py" "$cache/here/summed/bundle" >&2 ||
    fail "the shipped network cannot be written with whole sums here"
shipped=$("$python" -c 'from edgeseg.core.zoo import default_bundle as d; print(d().path)')
cp -r "$shipped" "$cache/here/shipped/bundle"
cp "$here/frames.py" "$cache/here"
cp -r "$cache/here/." "$root/opt/run"

# The same commands in both places, in a folder that holds the bundle.
COMMANDS='set -eu
cd "$1"
for verb in "verify bundle" "eval bundle --data synthetic:5" \
    "stream bundle synthetic://?frames=5 masks/"; do
    name=${verb%% *}
    "$2" -m edgeseg.cli $verb --backend onnxruntime --threads 1 --json > "$name.json"
done
"$2" ../frames.py bundle frames.npz'
for name in exact summed shipped; do
    say "running verify, eval and stream of the $name bundle here"
    one_thread sh -c "$COMMANDS" sh "$cache/here/$name" "$python" 2> "$cache/here.log" ||
        fail "the commands fail on this machine; see $cache/here.log"
    cp "$cache/here/$name/frames.npz" "$root/opt/run/$name/given.npz"
    say "running verify, eval and stream of the $name bundle on aarch64"
    board sh -c "$COMMANDS" sh "/opt/run/$name" /opt/edgeseg/bin/python 2> "$cache/there.log" || {
        tail -5 "$cache/there.log" >&2
        echo "test-aarch64: the commands fail on aarch64; see $cache/there.log" >&2
        exit 1
    }
done
exec "$python" "$here/compare.py" "$cache/here" "$root/opt/run"
