/**
 * The first process of the image `busybox`, for BusyBox's shell. It prepares the system and becomes BusyBox's init, which answers
 * `poweroff` and `reboot`, adopts orphans, and starts the session.
 */
export const INIT_SCRIPT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s
mount -t devtmpfs devtmpfs /dev
cp -a /lib/tenon/dev/. /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
hostname tenon
ip link set lo up

# The kernel has NVMe built in; disks and sockets of virtio need their drivers. PCI numbers: VIRTIO 1.2, section 4.1.2.
load_drivers() {
  for device in /sys/bus/pci/devices/*; do
    read -r vendor <"$device/vendor"
    read -r kind <"$device/device"
    case "$vendor $kind" in
      '0x1af4 0x1042') modprobe virtio_pci; modprobe virtio_blk ;;
      '0x1af4 0x1048') modprobe virtio_pci; modprobe sd_mod; modprobe virtio_scsi; await_units ;;
      '0x1af4 0x1053') modprobe virtio_pci; modprobe vmw_vsock_virtio_transport ;;
    esac
  done
}

# Units are found in the background.
await_units() {
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    missing=
    for unit in /sys/class/scsi_device/*; do [ -d "$unit/device/block" ] || missing=$unit; done
    [ -z "$missing" ] && return
    sleep 0.1
  done
}

# Folders of the host: tenon.share=TAG:rw|ro:FOLDER on the kernel's command line.
mount_share() {
  tag=\${1%%:*} rest=\${1#*:}
  mkdir -p "\${rest#*:}"
  modprobe virtio_pci
  modprobe virtiofs
  mount -t virtiofs -o "\${rest%%:*}" "$tag" "\${rest#*:}"
}

read -r options </proc/cmdline
set -f
for option in $options; do
  case $option in tenon.share=*) mount_share "\${option#*=}" ;; esac
done
set +f
load_drivers
mkfifo /run/network
/lib/tenon/network &
exec init
`

/**
 * Sets up the network cards, if there are any: their driver, an address by DHCP, and IPv6 as routers advertise it. Runs beside the rest;
 * the first session waits for it, two minutes at most.
 */
export const NETWORK_SCRIPT = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# PCI numbers of a virtio network card: VIRTIO 1.2, section 4.1.2.
has_card() {
  for device in /sys/bus/pci/devices/*; do
    read -r vendor < "$device/vendor"
    read -r kind < "$device/device"
    [ "$vendor $kind" = '0x1af4 0x1041' ] && return
  done
  return 1
}

if has_card && modprobe virtio_pci && modprobe virtio_net; then
  for card in /sys/class/net/eth*; do
    ip link set "\${card##*/}" up
    udhcpc -i "\${card##*/}" -s /lib/tenon/dhcp -p "/run/dhcp.\${card##*/}" -t 3 -T 1 -b -S >/dev/null 2>&1
  done
fi
echo ready > /run/network
`

/**
 * What BusyBox's DHCP client calls when it has an address, or has lost it. An address that is renewed stays as it is: taken away for a
 * moment, it would take the guest's own routes with it.
 */
export const DHCP_SCRIPT = `#!/bin/sh
case $1 in
  deconfig) ip -4 addr flush dev "$interface" ;;
  bound | renew)
    case $(ip -4 addr show dev "$interface") in
      *" $ip/$mask "*) ;;
      *)
        ip -4 addr flush dev "$interface"
        ip addr add "$ip/$mask" dev "$interface"
        ;;
    esac
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    for address in $router; do ip route replace default via "$address" dev "$interface"; break; done
    {
      [ -n "$domain" ] && echo "search $domain"
      for address in $dns; do echo "nameserver $address"; done
    } > /etc/resolv.conf
    ;;
esac
`

/** For BusyBox's init. */
export const INITTAB = `::once:/lib/tenon/session
::ctrlaltdel:/sbin/reboot
`

/**
 * The sessions that a guest is for, one after another. It speaks the protocol of src/host/guest/protocol.ts on the line that
 * `tenon.control=` names; without one it gives a shell on the console. Its end is the guest's.
 *
 * COM1 is the console, COM2 the command's stdout and (towards the guest) its stdin, COM3 its stderr, COM4 the control line.
 */
export const SESSION_SCRIPT = `#!/bin/sh

# The value of tenon.NAME= on the kernel's command line.
boot_option() {
  read -r options < /proc/cmdline
  set -f
  for option in $options; do
    case $option in "tenon.$1="*) echo "\${option#*=}" ;; esac
  done
  set +f
}

# Bytes pass as they are, and the host stops us by CTS while it cannot take more.
make_raw() {
  stty -F "$1" 115200 raw -echo clocal crtscts
}

# Waits until the host has everything that was written to these lines: stty changes a line only when it is drained.
drain() {
  for line; do stty -F "$line" clocal; done
}

# The host describes a session as a shell fragment of so many bytes: it sets mode, mark, apply_environment and the arguments. False
# when it wants no more of them.
receive_session() {
  while read -r word length <&3; do
    case $word in
      session) dd bs="$length" count=1 iflag=fullblock status=none <&3 >/run/session; return ;;
      end) return 1 ;;
    esac
  done
  return 1
}

follow_window_size() {
  while read -r word rows columns; do
    [ "$word" = size ] && stty -F /dev/ttyS0 rows "$rows" cols "$columns"
  done
}

run_on_console() {
  follow_window_size <&3 & follower=$!
  (apply_environment; exec /bin/busybox setsid -c "$@" <>/dev/ttyS0 >&0 2>&1 3>&- 4>&- 5>&-)
  status=$?
  kill "$follower"
  drain /dev/ttyS0
}

# What an earlier session left of its stdin comes before the mark.
skip_to_mark() {
  while read -r line <&4; do [ "$line" = "$mark" ] && return; done
}

# Asks the host for stdin piece by piece, so that it sends no more than the command reads.
feed_stdin() {
  while echo stdin >&3; read -r length <&4 && [ "$length" -gt 0 ]; do
    dd bs="$length" count=1 iflag=fullblock status=none <&4 || break
  done
}

# All but init, this session, the two that carry output, and the clients that renew the cards' addresses: the command's end ends what it
# left behind.
kill_others() {
  spared=" 1 $$ $session $1 $2 $(echo $(cat /run/dhcp.*)) "
  for process in /proc/[0-9]*; do
    process=\${process#/proc/}
    case $spared in *" $process "*) ;; *) kill -KILL "$process" ;; esac
  done
} 2>/dev/null

# The command gets pipes, so that it never takes its output for a terminal.
run_with_pipes() {
  skip_to_mark
  rm -f /run/stdin /run/stdout /run/stderr
  mkfifo /run/stdin /run/stdout /run/stderr
  # Held open here, so that nobody waits for the other end to be opened; closed, they end the output.
  exec 6<>/run/stdout 7<>/run/stderr
  cat </run/stdout >&4 6>&- 7>&- & stdout=$!
  cat </run/stderr >&5 6>&- 7>&- & stderr=$!
  feed_stdin >/run/stdin 6>&- 7>&- &
  # In a subshell, whose stderr is not the command's: the shell says there if a signal killed it.
  (apply_environment; exec /bin/busybox setsid "$@" </run/stdin >/run/stdout 2>/run/stderr 3>&- 4>&- 5>&- 6>&- 7>&-)
  status=$?
  kill_others "$stdout" "$stderr"
  exec 6>&- 7>&-
  wait "$stdout" "$stderr"
  drain /dev/ttyS1 /dev/ttyS2
}

hold_sessions() {
  # $$ is the shell that this one is a part of.
  read -r session rest </proc/self/stat
  control=$(boot_option control)
  read -t 120 -r state <>/run/network
  if [ -n "$control" ]; then
    make_raw "$control"
    make_raw /dev/ttyS1
    make_raw /dev/ttyS2
    exec 3<>"$control" 4<>/dev/ttyS1 5<>/dev/ttyS2
    echo 'ready 2' >&3
    while receive_session; do
      . /run/session
      "run_$mode" "$@"
      echo "exit $status" >&3
      drain "$control"
    done
  else
    setsid -c sh -l <>/dev/console >&0 2>&1
  fi
}

export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=vt100 USER=root
cd /root
# In a subshell, because a process that leads a session takes the first terminal that it opens for its own.
(hold_sessions)
poweroff -f
`
