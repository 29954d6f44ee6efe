/** Reads Node's diagnostic report. */

/** The parts of the diagnostic report's header that this package uses. */
export interface ReportHeader {
  /** The command line of the process, including Node.js options. */
  readonly commandLine?: readonly string[];
  /** Version of glibc; absent on musl. */
  readonly glibcVersionRuntime?: string;
}

/**
 * Reads the header of Node's diagnostic report of this process.
 *
 * @returns undefined if the runtime has no diagnostic report
 */
export function readReportHeader(): ReportHeader | undefined {
  // Runtimes other than Node may lack the report.
  const report = process.report as Partial<NodeJS.ProcessReport> | undefined;
  if (!report?.getReport) return undefined;
  const options = report as { excludeNetwork?: boolean };
  const { excludeNetwork } = options;
  // Otherwise the report resolves every network interface, which can take seconds.
  options.excludeNetwork = true;
  try {
    return (report.getReport() as { header?: ReportHeader }).header ?? {};
  } catch {
    return undefined;
  } finally {
    if (excludeNetwork !== undefined) options.excludeNetwork = excludeNetwork;
  }
}
