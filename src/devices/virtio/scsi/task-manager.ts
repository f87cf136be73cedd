import type { DescriptorChain } from '../descriptor-chain.ts'
import type { Virtqueue } from '../virtqueue.ts'
import { ControlType, Response, TASK_MANAGEMENT_SIZE, TaskManagement, readAddress } from './request.ts'

/**
 * The control queue of a SCSI host device: task management and asynchronous notification. Source: VIRTIO 1.2, §5.6.6.2.
 *
 * What a back end does cannot be broken off. A function that would abort commands is answered when those that were under way have
 * ended, each with its own outcome.
 */
export interface Task {
  readonly unit: number
  readonly idLow: number
  readonly idHigh: number
}

interface Waiting {
  readonly queue: Virtqueue
  readonly head: number
  readonly tasks: Set<Task>
}

const NOTIFICATION_SIZE = 16

export class TaskManager {
  private readonly unitCount: number
  private readonly underWay = new Set<Task>()
  private waiting: Waiting[] = []
  private chain!: DescriptorChain

  constructor(unitCount: number) { this.unitCount = unitCount }

  connect(chain: DescriptorChain): void { this.chain = chain }

  started(task: Task): void { this.underWay.add(task) }

  finished(task: Task): void {
    this.underWay.delete(task)
    if (this.waiting.length === 0) return
    for (const each of this.waiting) each.tasks.delete(task)
    const done = this.waiting.filter(({ tasks }) => tasks.size === 0)
    this.waiting = this.waiting.filter(({ tasks }) => tasks.size > 0)
    for (const { queue, head } of done) {
      if (queue.again(head, this.chain)) this.answer(queue, Response.OK)
      else queue.complete(head, 0)
      queue.signal()
    }
  }

  reset(): void {
    this.underWay.clear()
    this.waiting = []
  }

  /** The chain holds a request of the control queue. */
  handle(queue: Virtqueue): void {
    const { chain } = this
    const type = chain.readU32(0)
    if (type === ControlType.TASK_MANAGEMENT && chain.readableLength >= TASK_MANAGEMENT_SIZE) return this.manage(queue)
    const notification = type === ControlType.QUERY || type === ControlType.SUBSCRIBE
    if (!notification || chain.readableLength < NOTIFICATION_SIZE) return this.answer(queue, Response.FUNCTION_REJECTED)
    // No events are ever reported.
    queue.complete(chain.head, chain.write(0, new Uint8Array(5)))
  }

  private manage(queue: Virtqueue): void {
    const { chain } = this
    const { target, unit } = readAddress(chain, 8)
    const subtype = chain.readU32(4)
    if (target !== 0) return this.answer(queue, Response.BAD_TARGET)
    if (subtype !== TaskManagement.NEXUS_RESET && (unit < 0 || unit >= this.unitCount)) return this.answer(queue, Response.INCORRECT_LUN)
    const tasks = this.affected(subtype, unit)
    if (tasks === undefined) return this.answer(queue, Response.FUNCTION_REJECTED)
    if (subtype >= TaskManagement.QUERY_TASK) return this.answer(queue, tasks.size > 0 ? Response.FUNCTION_SUCCEEDED : Response.OK)
    if (tasks.size === 0) return this.answer(queue, Response.OK)
    this.waiting.push({ queue, head: chain.head, tasks })
  }

  /** The commands that a function is about; undefined for a function that there is not. */
  private affected(subtype: number, unit: number): Set<Task> | undefined {
    const { chain, underWay } = this
    const chosen = (wanted: (task: Task) => boolean): Set<Task> => new Set([...underWay].filter((task) => wanted(task)))
    switch (subtype) {
      case TaskManagement.ABORT_TASK: case TaskManagement.QUERY_TASK: {
        const [low, high] = [chain.readU32(16), chain.readU32(20)]
        return chosen((task) => task.unit === unit && task.idLow === low && task.idHigh === high)
      }
      case TaskManagement.ABORT_TASK_SET: case TaskManagement.CLEAR_TASK_SET:
      case TaskManagement.LOGICAL_UNIT_RESET: case TaskManagement.QUERY_TASK_SET:
        return chosen((task) => task.unit === unit)
      case TaskManagement.NEXUS_RESET: return new Set(underWay)
      default: return undefined
    }
  }

  private answer(queue: Virtqueue, response: number): void {
    queue.complete(this.chain.head, this.chain.write(0, Uint8Array.of(response)))
  }
}
