#!/usr/bin/env bash
# Clusters built by a Ray of three machines, and by one of which a machine dies. Each machine is a network, process, host name
# and /tmp of its own (Linux namespaces; be root) with one core; they share this disk, as machines would a network disk. Nothing
# listens outside the namespaces. Builds CORPUS in one process, by the three machines, and once more with one of them killed as
# soon as STEP has a part, and compares all files that builds leave. Ends the machines that it began, whatever happens.
#
# runs/ray_namespaces.sh CORPUS OUT [PYTHON] [STEP]      # OUT: a new folder, not below /tmp
set -euo pipefail
corpus=$(realpath "$1") out=$(realpath -m "$2") python=${3:-python} victim_step=${4:-embed}
[ ! -e "$out" ] || { echo "$out is there already: name a new folder" >&2; exit 2; }
case $out/ in /tmp/*) echo "$out: each machine has a /tmp of its own; name a folder elsewhere" >&2; exit 2 ;; esac
mkdir -p "$out"
tag=ii$$
# Ray lets nobody in without a word that all machines and the command know; this one ends with its machines.
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | sha256sum | cut -d ' ' -f 1)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN DAFT_PROGRESS_BAR=0
declare -A machine=()

builder=
end() {
    for job in $builder; do kill "$job" 2> /dev/null || true; done
    for number in "${!machine[@]}"; do kill -9 "${machine[$number]}" 2> /dev/null || true; done
    wait 2> /dev/null || true
    for number in 1 2 3; do ip netns del "$tag-$number" 2> /dev/null || true; done
}
trap end EXIT

wire() { # the first machine holds a bridge, and the others a cable to it
    for number in 1 2 3; do ip netns add "$tag-$number"; ip -n "$tag-$number" link set lo up; done
    ip -n "$tag-1" link add hub type bridge
    ip -n "$tag-1" addr add 10.77.0.1/24 dev hub
    ip -n "$tag-1" link set hub up
    for number in 2 3; do
        ip -n "$tag-1" link add "to$number" type veth peer name up0 netns "$tag-$number"
        ip -n "$tag-1" link set "to$number" master hub up
        ip -n "$tag-$number" addr add "10.77.0.$number/24" dev up0
        ip -n "$tag-$number" link set up0 up
    done
}

begin() { # NUMBER ray's words: a machine whose first process ends all others when it is killed
    local number=$1
    shift
    ip netns exec "$tag-$number" unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc bash -c "
        mount -t tmpfs tmp /tmp && mount -t tmpfs shm /dev/shm && hostname machine-$number
        exec $python -m ray.scripts.scripts start --block --disable-usage-stats --num-cpus 1 \
            --object-store-memory 100000000 --node-ip-address 10.77.0.$number $*" \
        > "$out/machine-$number.log" 2>&1 &
    machine[$number]=$!
}

inside() { # a command on the first machine
    local first
    first=$(pgrep -P "${machine[1]}" | head -1)
    nsenter -t "$first" --all --wdns="$PWD" "$@"
}

await() { # HOW MANY machines
    for _ in $(seq 120); do
        found=$(inside "$python" -c "
import ray
ray.init(address='10.77.0.1:6379', log_to_driver=False, logging_level='error')
print(sum(node['Alive'] for node in ray.nodes()))" 2> "$out/await.err" || true)
        [ "$found" = "$1" ] && return
        sleep 2
    done
    echo "no Ray of $1 machines: see $out/machine-*.log" >&2
    exit 1
}

build() { # NAME WORKERS [VARIABLE=VALUE …]: what the command says, and its status
    local name=$1 workers=$2
    shift 2
    # the same way of rounding everywhere
    "${where[@]}" env OMP_NUM_THREADS=1 "$@" "$python" -m instruct_imagen.cli clusters build "$corpus" "$out/$name" \
        --workers "$workers" > "$out/$name.out" 2> "$out/$name.err" && echo "$name: status 0" || echo "$name: status $?"
}

where_parts() { # how many of twelve parts of a step that only waits each machine makes
    cat > "$out/where.py" << 'EOS'
import collections, pathlib, socket, sys, tempfile, time
from instruct_imagen.data.clusters.engine import run_parts

class Wait:
    def __init__(self, folder):
        self.folder = folder

    def opened(self):
        folder = self.folder
        def make(part):
            time.sleep(1)
            (folder / part).write_text(socket.gethostname())
        return make

folder = pathlib.Path(sys.argv[1])
folder.mkdir()
list(run_parts(Wait(folder), [f"{n:05d}" for n in range(12)], workers=3))
print(dict(sorted(collections.Counter(path.read_text() for path in folder.iterdir()).items())))
EOS
    inside env "${ray[@]}" "$python" "$out/where.py" "$out/where" 2> "$out/where.err"
}

digest() { (cd "$out/$1" && find . -type f ! -name .claim ! -name .lock | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16); }

where=()
build plain 1
wire
begin 1 --head --port 6379 --include-dashboard=false
await 1
for number in 2 3; do begin "$number" --address 10.77.0.1:6379; done
await 3
echo "three machines"
where=(inside)
ray=(DAFT_RUNNER=ray RAY_ADDRESS=10.77.0.1:6379)
echo "twelve parts: $(where_parts)"
build ray 3 "${ray[@]}"
echo "files: plain $(digest plain), by three machines $(digest ray)"

build killed 3 "${ray[@]}" & builder=$!
until compgen -G "$out/killed/$victim_step/*.json" > /dev/null; do
    kill -0 "$builder" 2> /dev/null || { echo "no part of a step $victim_step was made"; exit 1; }
    sleep 0.2
done
kill -9 "${machine[3]}"
echo "machine 3 killed, $victim_step has $(find "$out/killed/$victim_step" -name '*.json' | wc -l) parts"
# Ray may wait for ever for the part that was on it: then the command is ended, as a person would.
for _ in $(seq "${PATIENCE:-300}"); do kill -0 "$builder" 2> /dev/null || break; sleep 1; done
if kill -0 "$builder" 2> /dev/null; then
    echo "still waiting after ${PATIENCE:-300} s: the command is ended"
    pkill -9 -P "$(pgrep -P "$builder" | head -1)" || true
fi
wait "$builder" || true
if [ -e "$out/killed/build.json" ]; then
    echo "it went on to its end"
else
    echo "called again, two machines"
    build killed 2 "${ray[@]}"
fi
echo "files: plain $(digest plain), after a machine died $(digest killed)"
