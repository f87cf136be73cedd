import { join } from 'node:path'
import { createDisk } from '../../host/disk-files/create.ts'
import type { Course, CourseOrder } from '../course.ts'
import { toolsGuest } from '../image/tools-guest.ts'

/** Not the size of any other disk: the guest knows it by that. */
const DISK_BYTES = 1024 ** 3 + 64 * 1024 ** 2
const SECTOR_BYTES = 512

const FIND_DISK = [
  `for size in /sys/block/nvme*/size; do [ "$(cat $size)" = ${DISK_BYTES / SECTOR_BYTES} ] && DATA=/dev/$(basename \${size%/size}); done`,
  // Its libraries are in the guest's cache then, and its start is short.
  'chroot /tools fio --version >/dev/null',
]

/** The suite `disk`: fio in a guest, on a disk that is new and empty in each run. */
export async function diskCourse({ folder, options, workloads }: CourseOrder): Promise<Course> {
  const { packages, diskFormat: format } = options
  const path = join(folder, `data.${format}`)
  const { plan, kernels } = await toolsGuest({ folder, packages, workloads, name: 'disk', setUp: FIND_DISK })
  const disks = [...plan.disks, { path, format, access: 'write' } as const]
  return {
    plans: new Map([['amd64', { ...plan, disks }]]), workloads, kernels, about: { diskFormat: format },
    beforeRun: async () => { await createDisk(path, { format, size: DISK_BYTES, force: true }) },
  }
}
