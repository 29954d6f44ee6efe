/** The parts of the header that are used here. */
export interface ReportHeader {
  /** Of the process, with the options of Node.js. */
  readonly commandLine?: readonly string[];
  /** Not there on musl. */
  readonly glibcVersionRuntime?: string;
}

/**
 * Reads the header of the diagnostic report, without starting a process.
 *
 * @returns undefined where the runtime has no such report
 */
export function readReportHeader(): ReportHeader | undefined {
  // Other runtimes need not have one.
  const report = process.report as Partial<NodeJS.ProcessReport> | undefined;
  if (!report?.getReport) return undefined;
  const options = report as { excludeNetwork?: boolean };
  const { excludeNetwork } = options;
  // Else every network interface is looked up, which can take seconds.
  options.excludeNetwork = true;
  try {
    return (report.getReport() as { header?: ReportHeader }).header ?? {};
  } catch {
    return undefined;
  } finally {
    if (excludeNetwork !== undefined) options.excludeNetwork = excludeNetwork;
  }
}
