import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Course, CourseOrder } from '../course.ts'
import { writeGuests } from '../image/files.ts'
import { PackageFolder } from '../image/packages.ts'
import { compileLoops, loopCompiler } from '../loops/compile.ts'
import { FILL_MEMORY } from '../workloads.ts'
import type { Workload } from '../workloads.ts'

/** The guest's RAM. */
const MEMORY_BYTES = 256 * 1024 ** 2
const COMMAND_LINE = 'console=ttyS0 quiet loglevel=1 panic=-1'

/** The suites `shell` and `loops`: one small guest for both. Undefined if nothing of them can be run. */
export async function busyboxCourse({ folder, options, workloads: wanted, contestants }: CourseOrder): Promise<Course | undefined> {
  const loops = await makeLoops(folder, wanted)
  const own = wanted.filter(({ suite }) => suite !== 'loops' || loops !== undefined)
  if (own.length === 0 && wanted.length > 0) return undefined
  const workloads = [...own, FILL_MEMORY]
  const architectures = [...new Set(contestants.map(({ target }) => target.architecture))]
  const parts = { packages: new PackageFolder(options.packages), workloads, ...loops && { loops: loops.program } }
  const { files, kernels } = await writeGuests(folder, architectures, parts)
  const plans = new Map([...files].map(([architecture, each]) => [architecture, { ...each, commandLine: COMMAND_LINE, memoryBytes: MEMORY_BYTES }]))
  return { plans, workloads, kernels, about: { compiler: loops?.compiler } }
}

/** Compiles the loops if any is wanted and that can be done. */
async function makeLoops(folder: string, workloads: readonly Workload[]): Promise<{ compiler: string, program: Uint8Array } | undefined> {
  if (!workloads.some(({ suite }) => suite === 'loops')) return undefined
  const compiler = await loopCompiler()
  if (compiler === undefined) {
    console.log('loops: skipped, there is no gcc for Linux on x86-64')
    return undefined
  }
  const file = join(folder, 'loops')
  await compileLoops(file)
  await chmod(file, 0o755)
  return { compiler, program: await readFile(file) }
}
