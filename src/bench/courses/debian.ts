import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startMachine } from '../../host/machine/start.ts'
import { prepareDiskImage } from '../../host/images/debian/prepare.ts'
import type { Course, CourseOrder } from '../course.ts'
import { showProgress } from '../image/progress.ts'
import { MULTI_USER } from '../markers.ts'
import type { Workload } from '../workloads.ts'

const IMAGE = 'debian:12'
const MEMORY_BYTES = 1024 ** 3
/** systemd tells the kernel what it does, and that the console; the kernel is told to let it. */
const SYSTEMD_ON_CONSOLE = 'systemd.log_target=kmsg systemd.show_status=no printk.devkmsg=on'

export const DEBIAN_WORKLOADS: readonly Workload[] = [
  { name: MULTI_USER, title: `${IMAGE} to multi-user.target`, suite: 'debian', script: '', answer: '' },
]

/**
 * The suite `debian`: the image as it comes, whose first start this is, from the program's start to systemd's multi-user.target. What the
 * guest writes goes to an overlay, so that each run finds the same disk.
 */
export async function debianCourse({ folder, options, workloads }: CourseOrder): Promise<Course> {
  const image = await prepareDiskImage(IMAGE, { startMachine, engine: options.engine, progress: showProgress })
  const kernel = join(folder, 'kernel-debian')
  await writeFile(kernel, image.kernel)
  const plan = {
    kernel, memoryBytes: MEMORY_BYTES, commandLine: `console=ttyS0 panic=-1 ${image.commandLine} ${SYSTEMD_ON_CONSOLE}`,
    disks: [{ path: image.diskPath, format: 'raw', access: 'overlay' } as const], card: { publish: [], hostPorts: [] },
  }
  const release = image.packages.find(({ name }) => /^linux-image-\d/.test(name))
  return { plans: new Map([['amd64', plan]]), workloads, kernels: { amd64: release?.name.slice('linux-image-'.length) ?? '' }, whole: MULTI_USER }
}
