/** What a vCPU's engine has done so far, in numbers. */
export interface EngineFigures {
  /** Guest instructions retired, and those of them that translated code executed. */
  readonly instructions: number
  readonly translated: number
  /** Regions that were made, their guest instructions, those in use now, and those taken away since. */
  readonly regionsMade: number
  readonly regionInstructions: number
  readonly regionsLive: number
  readonly regionsRemoved: number
  /** How often a region was entered, and how often one was left for the interpreter to do an instruction. */
  readonly regionEntries: number
  readonly regionMisses: number
  /** How often it was checked where a region's pages are mapped. */
  readonly pageChecks: number
  /** Time of the compiling thread, in milliseconds: to emit WebAssembly, and to compile that. */
  readonly emitMilliseconds: number
  readonly compileMilliseconds: number
  /** Accesses that the software TLB could not serve, and jumps that the jump cache could not. */
  readonly tlbMisses: number
  readonly jumpMisses: number
  /** Instructions decoded, and pages whose code was overwritten. */
  readonly decoded: number
  readonly invalidations: number
}
