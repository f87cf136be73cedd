/**
 * Debian's kernel with disks behind each of our controllers, moved from machine to machine while requests are outstanding: what the disks had
 * not done is lost with the old machine, and must be done in the new one. Machines with either engine take turns. The image is that of the
 * user's cache, fetched if it is not there.
 */
import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { FakeDisk } from '../../src/devices/virtio/testing/fake-disk.ts'
import { FakePort } from '../../src/devices/virtio/testing/fake-port.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import { ConsoleGuest } from '../../src/vmm/testing/console-guest.ts'
import { imageUnavailable } from '../images.ts'

const LONG = 900_000
const MEMORY = 160 << 20
const DISK = 4 << 20
const MOVES = 12
const PREPARE = '/bin/busybox --install -s /bin; mount -t proc proc /proc; mount -t devtmpfs dev /dev; modprobe virtio_pci; modprobe virtio_blk; '
  + 'modprobe virtio_scsi; modprobe sd_mod; modprobe virtio_console; modprobe virtio_rng; modprobe virtio_balloon; '
  + 'modprobe vmw_vsock_virtio_transport; while ! [ -e /dev/nvme0n1 ] || ! [ -e /dev/sda ] || ! [ -e /dev/vda ]; do sleep 0.1; done; dmesg -c > /dev/null; stty -echo'
/** Each disk is copied within itself, its first half over its second, by four at once. */
const WORK = ['vda', 'sda', 'nvme0n1'].flatMap((name) => [0, 1, 2, 3].map((part) => {
  const [from, to] = [part * 32, 128 + part * 32]
  return `dd if=/dev/${name} of=/dev/${name} bs=16k count=32 skip=${from} seek=${to} iflag=direct oflag=direct 2> /dev/null &`
})).join(' ')

const unavailable = await imageUnavailable()

let engine: WebAssembly.Module
beforeAll(() => { engine = new WebAssembly.Module(buildPartialEngine(PROFILE).bytes as Uint8Array<ArrayBuffer>) })

/** What stays when the machine is another: the disks. They answer late, and not in order. */
class World {
  readonly disks = [1, 2, 3].map(() => new FakeDisk(DISK))
  /** Requests that were outstanding when a machine was left. */
  readonly outstanding = [0, 0, 0]
  guest: ConsoleGuest
  private readonly consolePort = new FakePort()
  private turns = 0

  constructor() {
    this.disks.forEach((disk, index) => disk.content.forEach((_, at) => { disk.content[at] = Math.imul(at + index, 0x9e3779b1) >>> 24 }))
    this.guest = this.build()
  }

  /** The guest in another machine; the disks lose what they were asked for and had not done. */
  move(interpreted: boolean): void {
    const snapshot = this.guest.machine.save()
    this.disks.forEach((disk, index) => { this.outstanding[index] += disk.waiting.splice(0).length })
    const { console } = this.guest
    this.guest = this.build(interpreted)
    this.guest.console = console
    this.guest.machine.restore(snapshot)
  }

  private build(interpreted = false): ConsoleGuest {
    const [block, scsi, nvme] = this.disks
    const guest = new ConsoleGuest({
      memory: MEMORY, engine, disks: [nvme],
      virtio: {
        disks: [{ backend: block, queues: 2 }], scsiUnits: [scsi], console: this.consolePort, ports: [{ name: 'a', backend: new FakePort() }],
        entropy: { fill: (bytes) => bytes.fill(7) }, balloon: {}, socket: { guestCid: 5, backend: { accept: () => null } },
      },
      ...interpreted ? { compiler: undefined } : {},
    })
    guest.between = () => this.answer()
    return guest
  }

  private answer(): void {
    this.turns++
    for (const disk of this.disks) {
      if (disk.waiting.length > 3 || this.turns % 4 === 0) disk.answer(this.turns % Math.max(1, disk.waiting.length))
    }
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe.skipIf(unavailable)('Debian with requests outstanding', () => {
  test('goes on in another machine, and nothing is lost', async () => {
    const image = await openImage('busybox')
    const kernel = await openKernel(image.kernel, KERNEL_DECOMPRESSORS)
    const world = new World()
    world.guest.machine.boot({ kernel, initrd: image.initrd, commandLine: 'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh' })
    await world.guest.runUntil((console) => console.includes('/ # '), LONG)
    await world.guest.command(PREPARE, LONG)
    for (const disk of world.disks) disk.deferred = true

    world.guest.type(`${WORK} wait; sync; dmesg | grep -iE "error|timeout|reset"; echo NOTHING-ELSE; echo ALL""DONE\n`)
    for (let moves = 0; moves < MOVES; moves++) {
      const busy = (): boolean => world.disks.every(({ waiting }) => waiting.length > 1)
      const written = world.disks[0].log.length + 25
      await world.guest.runUntil((console) => busy() && world.disks[0].log.length > written || console.includes('ALLDONE'))
      if (!world.guest.console.includes('ALLDONE')) world.move(moves % 3 === 2)
    }
    await world.guest.runUntil((console) => console.includes('ALLDONE\r\n'), LONG)
    expect(world.guest.console).toMatch(/# NOTHING-ELSE\r\nALLDONE/)
    expect(Math.min(...world.outstanding)).toBeGreaterThan(5)
    for (const { content } of world.disks) expect(digest(content.subarray(DISK / 2))).toBe(digest(content.subarray(0, DISK / 2)))
    // The other devices go on, too.
    expect(await world.guest.command('echo hello > /dev/hvc0; head -c 4 /dev/hwrng | hexdump -e \'4/1 "%d"\'')).toBe('7777')
  }, LONG)
})
