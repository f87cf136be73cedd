/** What the guests of the suite `network` do before the first workload, as lines for their shells. */
import { HTTP_PORT } from './network-workloads.ts'

const GUEST_ADDRESS = '192.168.77.1'
const PEER_ADDRESS = '192.168.77.2'
/** Where the other guest says, once, that it serves. */
const READY_PORT = 5202

/** Each after those that it needs: nobody has run depmod on the disk. */
const MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'].map(name => `drivers/virtio/${name}`),
  'net/core/failover', 'drivers/net/net_failover', 'drivers/net/virtio_net',
]
/** Cards are named in the order of the machine's slots: the first is the one to the host, if there is one. */
const CARDS = [
  `for module in ${MODULES.join(' ')}; do insmod /tools/lib/modules/$(uname -r)/kernel/$module.ko; done`,
  'ip link set lo up',
]

/** By DHCP, as any guest: `$HOST` is the router. */
const LEASE = [
  'printf \'%s\\n\' \'#!/bin/sh\' \'[ "$1" = bound ] || exit 0\' \'ip address add $ip/$mask dev $interface\' '
  + '\'ip route add default via $router\' \'echo $router >/tmp/host\' >/tmp/lease',
  'chmod 755 /tmp/lease',
  'ip link set eth0 up',
  'udhcpc -n -q -t 20 -i eth0 -s /tmp/lease >/dev/null 2>&1 || { echo "the guest got no address"; poweroff -f; }',
  'HOST=$(cat /tmp/host)',
]

/** No script of a package was run, so that there are no users. nginx needs one for its name alone. */
const NGINX_CONFIGURATION = [
  'user root;', 'worker_processes 1;', 'pid /tmp/nginx.pid;', 'error_log /tmp/nginx.log;', 'events { worker_connections 512; }',
  `http { access_log off; keepalive_requests 1000000; server { listen ${HTTP_PORT}; root /tmp/pages; } }`,
]
const NGINX = [
  'cp -a /tools/etc /tmp/etc',
  'echo root:x:0:0:root:/root:/bin/sh >/tmp/etc/passwd; echo root:x:0: >/tmp/etc/group',
  'mount --bind /tmp/etc /tools/etc',
  'mount -t tmpfs none /tools/var/lib/nginx',
  'mkdir /tools/tmp/pages',
  'yes "A page of a kilobyte." | head -c 1024 >/tools/tmp/pages/index.html',
  `printf '%s\\n' ${NGINX_CONFIGURATION.map(line => `'${line}'`).join(' ')} >/tools/tmp/nginx.conf`,
  'chroot /tools nginx -c /tmp/nginx.conf || { echo "nginx does not start"; poweroff -f; }',
]

/** `$HOST`, `$HOST_PORT` and `$PEER` are for the workloads. */
export function guestSetUp(hostPort: number, hasPeer: boolean): string[] {
  return [...CARDS, ...LEASE, `HOST_PORT=${hostPort}`, ...NGINX, 'chroot /tools iperf3 --version >/dev/null', ...hasPeer ? meetPeer() : []]
}

/** Until it answers: its start is not to be in anybody's time. */
function meetPeer(): string[] {
  return [
    `PEER=${PEER_ADDRESS}`,
    `ip address add ${GUEST_ADDRESS}/24 dev eth1; ip link set eth1 up`,
    `for try in $(seq 100); do nc -w 1 $PEER ${READY_PORT} </dev/null 2>/dev/null && break; [ $try = 100 ] && poweroff -f; sleep 1; done`,
  ]
}

/** It serves until it is killed. */
export function peerSetUp(): string[] {
  return [
    ...CARDS, `ip address add ${PEER_ADDRESS}/24 dev eth0; ip link set eth0 up`,
    'chroot /tools iperf3 --server >/dev/null 2>&1 &',
    `sleep 1; nc -l -p ${READY_PORT} </dev/null >/dev/null`,
    'wait',
  ]
}
