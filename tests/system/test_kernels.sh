#!/usr/bin/env bash
# Debian's own kernel, in an emulator: its verifier knows less than this machine's. What it refuses
# is missing on every machine that runs it.
. "$(dirname "$0")/../lib/system.sh"
package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1)
for needed in qemu-system-x86_64 busybox cpio dpkg-deb; do
	command -v "$needed" >/dev/null || { skip "Debian's kernel: no $needed here"; exit; }
done
[ -n "$package" ] || { skip "Debian's kernel: apt-get knows no linux-image-cloud-amd64"; exit; }
# Kept beside the build: a second run takes nothing off the net.
mkdir -p "$BUILD/kernel"
deb() { ls "$BUILD/kernel/$package"_*.deb; }
deb >/dev/null 2>&1 || (cd "$BUILD/kernel" && apt-get -qq download "$package") >"$T/download" 2>&1
deb >/dev/null 2>&1 || { skip "Debian's kernel: $(tail -1 "$T/download" | tr -d '#')"; exit; }
dpkg-deb --fsys-tarfile "$(deb | tail -1)" | tar -xf - -C "$T" --wildcards './boot/vmlinuz-*'

# A file system of what perftop and the target load, and a shell.
root=$T/root
mkdir -p "$root"/{bin,proc,sys,dev,tmp,told}
cp "$(command -v busybox)" "$root/bin/"
programs=("$PERFTOP" "$BUILD"/*.so "$BUILD/tests/targets/failing")
for file in "${programs[@]}" $(ldd "${programs[@]}" | grep -o '/[^ ]*\.so[^ ]*' | sort -u); do
	case $file in *:) continue ;; esac
	mkdir -p "$root/$(dirname "$file")"
	cp -L "$file" "$root/$file"
done
cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export LC_ALL=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
ip link set lo up
$PERFTOP --doctor >/told/doctor 2>&1
$PERFTOP --json --syscalls full --max-overhead 0 -d 500ms -e libc.so.6:malloc --output /told/out -- $BUILD/tests/targets/failing missing 2 >/told/json 2>/told/err
tail -n 1 /told/json >/told/last
tar -C /told -czf - doctor last out err | base64 >/dev/ttyS0
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$T/initrd"
# One thread for both processors: several of the emulator's run instructions that were patched away.
timeout 600 qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp 2 -m 1G -display none -monitor none \
	-serial "file:$T/serial" -no-reboot -net none -kernel "$T"/boot/vmlinuz-* -initrd "$T/initrd" \
	-append "console=ttyS0 quiet loglevel=1 panic=-1" </dev/null >"$T/qemu" 2>&1
sed -n '/^H4sI/,$p' "$T/serial" | tr -d '\r' | base64 -d 2>/dev/null | tar -xzf - -C "$T" 2>/dev/null
if ! check "$package says what works there" test -s "$T/doctor"; then
	tail -5 "$T/serial" "$T/qemu" | sed 's/^/# /'
	exit
fi
# Functions cannot be timed before Linux 6.6, and an emulated clock is not even.
for part in BTF bpf proc blocked threads cpu syscalls loop faults block counters heap cost engine sampler; do
	check "$part works" grep -q "^WORKS  *$part " "$T/doctor"
done
grep -E '^(MISSING|PARTLY)' "$T/doctor" | sed 's/^/# /'
if [[ $package < linux-image-6.6 ]]; then
	equal "functions, and what needs them, are absent and not zero" \
		"$(jq -rc '.sections | [.func.status, .tail.status]' "$T/last")" '["absent","absent"]'
	check "with what can be done" jqe '.sections.func.fix | test("--in-process")' "$T/last"
fi
# Loading the program opens some files as well.
read -r _ failed _ calls < <(grep '^failed' "$T/out")
for what in count failed; do
	between "system calls beyond the target's own count, $what" "$(jq ".syscalls[] | select(.name == \"openat\") |
		.$what - $([ "$what" = count ] && echo "$calls" || echo "$failed")" "$T/last")" 0 30
done
check "which saw some" grep -q '^failed [1-9]' "$T/out"
