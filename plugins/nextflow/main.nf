process FLOWMASK {
    tag "$meta.id"
    label 'process_medium'

    container 'flowmask:latest'

    input:
    tuple val(meta), path(image)

    output:
    tuple val(meta), path("*_label.tiff")            , emit: labels
    tuple val(meta), path("*_cells.csv")             , emit: table  , optional: true
    tuple val(meta), path("*.{geojson,geojson.gz}")  , emit: geojson, optional: true
    tuple val(meta), path("${prefix}.flowmask.json") , emit: report
    path "versions.yml"                              , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    flowmask segment $image \\
        -o . \\
        --threads $task.cpus \\
        --memory ${task.memory ? task.memory.toGiga() : 4}G \\
        --report ${prefix}.flowmask.json \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        flowmask: \$(flowmask --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${image.simpleName}_label.tiff ${prefix}.flowmask.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        flowmask: \$(flowmask --version | sed 's/.* //')
    END_VERSIONS
    """
}
