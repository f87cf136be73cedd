/** Debian's kernel and its stock driver with our NVMe controller. The image is that of the user's cache, fetched if it is not there. */
import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildPartialEngine } from '../../src/cpu/interpreter/build-engine.ts'
import { PROFILE } from '../../src/cpu/interpreter/profile-data.ts'
import { FakeDisk } from '../../src/devices/nvme/testing/fake-disk.ts'
import { KERNEL_DECOMPRESSORS } from '../../src/host/images/decompress.ts'
import { openImage } from '../../src/host/images/open-image.ts'
import { imageUnavailable } from '../images.ts'
import { openKernel } from '../../src/vmm/boot/kernel-image.ts'
import type { BootConfig } from '../../src/vmm/machine.ts'
import { ConsoleGuest } from '../../src/vmm/testing/console-guest.ts'

const LONG = 400_000
const MEMORY = 192 << 20
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

async function start(disks: readonly FakeDisk[], commandLine = '', between: () => void = () => undefined): Promise<ConsoleGuest> {
  const guest = new ConsoleGuest({ memory: MEMORY, engine, disks })
  guest.between = between
  guest.machine.boot({ ...boot, commandLine: boot.commandLine.replace(' --', ` ${commandLine} --`) })
  await guest.runUntil((console) => console.includes('/ # '), LONG)
  await guest.command(MOUNTS)
  await guest.command('while ! [ -e /dev/nvme0n1 ]; do sleep 0.1; done')
  return guest
}

/** The guest in another machine, as after a crash of the host: its disk has lost what it was asked for and had not done. */
function moved(guest: ConsoleGuest, disk: FakeDisk): ConsoleGuest {
  const snapshot = guest.machine.save()
  disk.waiting.length = 0
  const copy = new ConsoleGuest({ memory: MEMORY, engine, disks: [disk] })
  copy.machine.restore(snapshot)
  copy.console = guest.console
  copy.between = guest.between
  return copy
}

describe.skipIf(unavailable)('Debian with an NVMe controller', () => {
  test('knows the controller, and uses all that it can do', async () => {
    const disk = new FakeDisk(64 << 20)
    const guest = await start([disk, new FakeDisk(8 << 20, { blockSize: 4096, readOnly: true })])
    const names = await guest.command('cat /sys/class/nvme/nvme0/model /sys/class/nvme/nvme0/serial | sed "s/ *$//"')
    expect(names).toBe('Tenon NVMe controller\nfake-disk\n')
    const limits = await guest.command('cd /sys/block/nvme0n1/queue; cat write_cache fua max_hw_sectors_kb; cat ../../nvme0n2/ro')
    expect(limits).toBe('write back\n1\n1024\n1\n')
    expect(await digestIn(guest, '/dev/nvme0n1')).toBe(digestOf(disk.content))
    await guest.command('dd if=/dev/urandom of=/dev/nvme0n1 bs=1M count=5 seek=3')
    await guest.command('dd if=/dev/urandom of=/dev/nvme0n1 bs=512 count=5 seek=77 conv=fsync')
    expect(disk.log.some((line) => line.startsWith('flush'))).toBe(true)
    await guest.command('blkdiscard -o 1048576 -l 1048576 /dev/nvme0n1')
    expect(disk.log.filter((line) => line.startsWith('discard'))).toEqual(['discard 1048576 1048576'])
    await guest.command('echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/nvme0n1')).toBe(digestOf(disk.content))
    expect(await guest.command('dmesg | grep -i nvme | grep -ciE "error|fail|timeout|invalid"; true')).toBe('0\n')
    guest.type('echo 1 > /sys/class/nvme/nvme0/reset_controller; echo reset-""done\n')
    await guest.runUntil((console) => console.includes('reset-done'))
    await guest.command('echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/nvme0n1')).toBe(digestOf(disk.content))
  }, LONG)

  test('works by INTx and with a disk that takes its time', async () => {
    const disk = new FakeDisk(16 << 20)
    disk.isDeferred = true
    const guest = await start([disk], 'pci=nomsi', () => disk.answer(disk.waiting.length - 1))
    expect(await guest.command('grep nvme /proc/interrupts')).toMatch(/IO-APIC.*fasteoi.*nvme0q0/)
    await guest.command('dd if=/dev/urandom of=/dev/nvme0n1 bs=64k count=100; sync; echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/nvme0n1')).toBe(digestOf(disk.content))
  }, LONG)

  test('goes on after a restore with requests in flight', async () => {
    const disk = new FakeDisk(32 << 20)
    disk.isDeferred = true
    let slices = 0
    const answerNowAndThen = (): void => {
      if (++slices % 8 === 0) while (disk.waiting.length > 0) disk.answer()
    }
    let guest = await start([disk], '', answerNowAndThen)
    const copy = 'dd if=/dev/nvme0n1 of=/tmp-copy bs=64k count=160; dd if=/tmp-copy of=/dev/nvme0n1 bs=64k seek=200; sync'
    guest.type(`${copy}; echo copy-""done\n`)
    let handedOver = 0
    const isDue = (): boolean => disk.waiting.length > 0 && handedOver < 6 && slices > handedOver * 100
    for (slices = 0; !guest.console.includes('copy-done');) {
      await guest.runUntil((console) => isDue() || console.includes('copy-done'), LONG)
      if (!isDue()) continue
      guest = moved(guest, disk)
      handedOver++
    }
    expect(handedOver).toBe(6)
    expect(Buffer.compare(disk.content.subarray(200 << 16, 360 << 16), disk.content.subarray(0, 160 << 16))).toBe(0)
    await guest.command('echo 3 > /proc/sys/vm/drop_caches')
    expect(await digestIn(guest, '/dev/nvme0n1')).toBe(digestOf(disk.content))
  }, LONG)
})

async function digestIn(guest: ConsoleGuest, file: string): Promise<string> {
  return (await guest.command(`sha256sum ${file}`, LONG)).split(' ')[0]
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
