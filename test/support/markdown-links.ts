// Links and headings of Markdown documents, as GitHub renders them.

/** A link of a document to something in the same repository. */
export interface RelativeLink {
  /** The path as written; empty for a link into the same document. */
  path: string;
  /** The heading that it names; empty if it names none. */
  anchor: string;
}

function withoutCode(markdown: string): string {
  return markdown.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '');
}

/** Returns the links and images of a document that do not begin with a scheme such as `https:`. */
export function relativeLinksIn(markdown: string): RelativeLink[] {
  return [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/i.test(target))
    .map((target) => {
      const [path = '', anchor = ''] = target.split('#');
      return { path: decodeURIComponent(path), anchor };
    });
}

/** Returns the anchors that GitHub gives to the headings of a document. */
export function anchorsIn(markdown: string): Set<string> {
  const anchors = new Set<string>();
  const headings = markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} +(.*)$/gm);
  for (const [, heading = ''] of headings) {
    const slug = heading
      .trim()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}
