import type { AddCommand } from '../task.ts'
import { addConsole } from './console.ts'
import { addCp } from './cp.ts'
import { addDisk } from './disk.ts'
import { addExec } from './exec.ts'
import { addImage } from './image.ts'
import { addInspect } from './inspect.ts'
import { addLogs } from './logs.ts'
import { addLs } from './ls.ts'
import { addNetwork } from './network.ts'
import { addPull } from './pull.ts'
import { addRm } from './rm.ts'
import { addRun } from './run.ts'
import { addStart } from './start.ts'
import { addStop } from './stop.ts'
import { addSuspend } from './suspend.ts'

/** All commands, in the order of the help. */
export const COMMANDS: readonly AddCommand[] = [
  addRun, addStart, addStop, addSuspend, addRm, addLs, addExec, addCp, addConsole, addLogs, addNetwork, addPull, addImage, addDisk, addInspect,
]
