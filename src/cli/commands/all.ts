import type { AddCommand } from '../task.ts'
import { addDisk } from './disk.ts'
import { addInspect } from './inspect.ts'
import { addPull } from './pull.ts'
import { addRun } from './run.ts'

/** All commands, in the order of the help. */
export const COMMANDS: readonly AddCommand[] = [addRun, addPull, addDisk, addInspect]
