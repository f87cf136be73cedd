/** Two Debian kernels with their stock driver, on one switch. The image is that of the user's cache, fetched if it is not there. */
import { beforeAll, describe, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { NetworkClock } from '../../src/host/network/network-clock.ts'
import { formatMac } from '../../src/network/packet/addresses.ts'
import type { SwitchPort } from '../../src/network/switch/port.ts'
import { Switch } from '../../src/network/switch/switch.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import type { BootConfig } from '../../src/vmm/machine.ts'
import { ConsoleGuest } from '../../src/vmm/testing/console-guest.ts'
import { imageUnavailable } from '../images.ts'

const LONG = 900_000
const SLICE = 200_000
const MOUNTS = '/bin/busybox --install -s /bin; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'

const unavailable = await imageUnavailable()
let engine: WebAssembly.Module
let boot: BootConfig
beforeAll(async () => {
  if (unavailable) return
  engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>)
  const image = await openImage('busybox')
  const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
  boot = { kernel, initrd: image.initrd, commandLine: 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh' }
}, LONG)

async function start(port: SwitchPort, number: number): Promise<ConsoleGuest> {
  const address = Uint8Array.of(0x52, 0x54, 0, 0, 1, number)
  const guest = new ConsoleGuest({ memory: 192 << 20, engine, virtio: { network: [{ backend: port, address, pairs: 2 }] } })
  guest.machine.boot(boot)
  await guest.runUntil((console) => console.includes('/ # '), LONG)
  await guest.command(`${MOUNTS}; modprobe virtio_pci && modprobe virtio_net`)
  await guest.command(`ip link set eth0 up && ip addr add 10.9.0.${number}/24 dev eth0`)
  return guest
}

describe.skipIf(unavailable)('Debian with virtio network cards', () => {
  test('two guests talk through a switch, with everything left to do on a frame', async () => {
    const network = new Switch(new NetworkClock(), 5)
    const macs = [1, 2].map((number) => formatMac(Uint8Array.of(0x52, 0x54, 0, 0, 1, number)))
    const ports = macs.map((mac, index) => network.plug({ name: `g${index}`, mac }))
    let longest = 0
    ports[0].observers.push(({ segmentation, length }) => { if (segmentation === 'tcp4') longest = Math.max(longest, length) })
    const one = await start(ports[0], 1)
    const two = await start(ports[1], 2)
    one.between = () => { two.machine.run(SLICE) }

    expect(await one.command('cat /sys/class/net/eth0/address /sys/class/net/eth0/speed /sys/class/net/eth0/mtu'))
      .toBe(`${macs[0]}\n10000\n1500\n`)
    expect(await one.command('grep virtio /proc/interrupts')).toMatch(/virtio0-config[^]*virtio0-input\.0[^]*virtio0-output\.0/)
    expect(await one.command('ping -c 3 -s 3000 10.9.0.2')).toContain('3 packets received')

    two.type('nc -l -p 7 | sha256sum > /digest; echo dig""ested\n')
    const sent = await one.command('sleep 2; head -c 2000000 /dev/urandom > /data; sha256sum < /data; nc 10.9.0.2 7 < /data')
    two.between = () => { one.machine.run(SLICE) }
    await two.runUntil((console) => console.includes('digested'))
    expect(await two.command('cat /digest')).toBe(sent)
    expect(longest).toBeGreaterThan(1514)
    expect(ports[0].counters.drops.malformed + ports[1].counters.drops.malformed).toBe(0)
  }, LONG)
})
