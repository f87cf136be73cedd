import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachinePlan } from '../machine-plan.ts'
import type { Workload } from '../workloads.ts'
import { buildInitrd } from './build.ts'
import { initScript } from './init-script.ts'
import { PackageFolder } from './packages.ts'
import { openTools } from './tools.ts'

export interface ToolsGuestOrder {
  /** For its file's name: guests of one folder have different ones. */
  readonly name: string
  /** For its files. */
  readonly folder: string
  /** Of Debian's packages. */
  readonly packages?: string
  readonly workloads: readonly Workload[]
  /** Lines of a shell before the first of them. */
  readonly setUp: readonly string[]
}

export interface ToolsGuest {
  /** Its first disk has the tools. */
  readonly plan: Required<Pick<MachinePlan, 'kernel' | 'initrd' | 'commandLine' | 'memoryBytes' | 'disks'>>
  readonly kernels: Readonly<Record<string, string>>
}

const MEMORY_BYTES = 512 * 1024 ** 2
const COMMAND_LINE = 'console=ttyS0 quiet loglevel=1 panic=-1'

/** Room for what programs leave behind: the disk itself is never written to. */
const MOUNTS = [
  'mount -t devtmpfs none /dev',
  'mkdir -p /sys /tools',
  'mount -t sysfs none /sys',
  // Disks are found in any order; of ours, only this one is a file system.
  'for disk in /dev/nvme?n1; do mount -t ext4 -o ro $disk /tools 2>/dev/null && break; done',
  'for name in dev proc sys; do mount --bind /$name /tools/$name; done',
  'for name in tmp run var/log; do mount -t tmpfs none /tools/$name; done',
]

/** A guest of BusyBox that has the tools' disk at /tools, and runs them there with `chroot /tools`. Throws TenonError. */
export async function toolsGuest({ folder, packages, workloads, name, setUp }: ToolsGuestOrder): Promise<ToolsGuest> {
  const { kernel, kernelRelease, disk } = await openTools()
  const [busybox] = await new PackageFolder(packages).read([{ name: 'busybox-static', architecture: 'amd64' }])
  const initrd = join(folder, `initrd-${name}`)
  await writeFile(initrd, await buildInitrd(busybox, initScript(workloads, [...MOUNTS, ...setUp])))
  const disks = [{ path: disk, format: 'raw', access: 'read-only' } as const]
  return { plan: { kernel, initrd, commandLine: COMMAND_LINE, memoryBytes: MEMORY_BYTES, disks }, kernels: { amd64: kernelRelease } }
}
